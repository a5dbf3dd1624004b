// What a video VAE's checkpoint is: its widths and depths, read from the tensors' shapes.
#pragma once
#include <array>
#include <optional>
#include <vector>

#include <stepvideo/core/view.hpp>

#include "io/checkpoint.hpp"

namespace stepvideo::model {

/// Levels are numbered as in the checkpoint: 0 has the video's resolution.
struct VaeConfig {
  static constexpr int levels = 4;
  static constexpr index_t norm_groups = 32;
  static constexpr float norm_epsilon = 1e-5f;

  /// Residual blocks and channels of each level, on the way up or down.
  struct Levels {
    std::array<index_t, levels> widths{};
    std::array<int, levels> blocks{};
  };
  struct Decoder {
    index_t stem_width = 0;  ///< channels of conv_in
    index_t mid_width = 0;
    Levels up;
  };
  struct Encoder {
    index_t stem_width = 0;
    Levels down;
    index_t patch_width = 0;  ///< channels of conv_patchify
  };

  index_t latent_channels = 0;
  Decoder decoder;
  std::optional<Encoder> encoder;  ///< some checkpoints only decode

  /// Video VAE v2 as released.
  static VaeConfig release();
  /// Read from the shapes, then every tensor checked against them. Throws RequestError naming what is
  /// missing, of another shape, or too much.
  static VaeConfig of(const io::Checkpoint& checkpoint);
};

/// All tensors of a checkpoint of this configuration.
std::vector<io::ExpectedTensor> expected_tensors(const VaeConfig& config);

}  // namespace stepvideo::model
