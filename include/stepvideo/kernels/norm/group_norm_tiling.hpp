// How GroupNorm's work is split among the blocks and threads of a GPU, and the workspace that this takes.
#pragma once
#include <algorithm>
#include <cstddef>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/tile/part_moments.hpp>

namespace stepvideo {

/// How the GPU splits a frame: into parts of whole pixels, each a block's in the moments' pass. A thread
/// keeps to the same `vector` channels. Shares of the copy's bandwidth are in docs/tuning.md.
struct GroupNormTiling {
  static constexpr int threads = 256;
  /// Loads of a thread before the first use.
  static constexpr int moments_in_flight = 4, scaling_in_flight = 6;
  /// Blocks of the moments that share a multiprocessor, which bounds the registers.
  static constexpr int moments_blocks = 5;
  /// What an H200 works on at once: one wave does the moments where a block's elements then lie in these
  /// bounds.
  static constexpr index_t wave = 132 * moments_blocks, least_elements = 1 << 14, most_elements = 1 << 17;
  /// The fewest frames of the model's videos, which must fill a wave.
  static constexpr index_t fewest_frames = 5;
  /// Blocks of the scaling to a part: small ones end together.
  static constexpr unsigned sections = 5;

  index_t pixels, channels, parts, part_pixels;
  int vectors;  ///< of channels, in a block
  int rows;     ///< pixels that a block takes at once
  int chunks;   ///< of channels, each a block

  /// Depends on the shape of a frame alone, so that sums have one order on every GPU and for any run of
  /// frames.
  template <class T>
  static GroupNormTiling of(const VideoView<T>& in, int vector) {
    GroupNormTiling tiling{};
    tiling.pixels = in.height * in.width, tiling.channels = in.channels;
    tiling.part_pixels =
        std::clamp(divide_up(tiling.pixels, wave / fewest_frames), divide_up(least_elements, in.channels),
                   divide_up(most_elements, in.channels));
    tiling.parts = divide_up(tiling.pixels, tiling.part_pixels);
    const auto all_vectors = static_cast<int>(divide_up(in.channels, vector));
    tiling.vectors = std::min(all_vectors, threads);
    tiling.rows = threads / tiling.vectors;
    tiling.chunks = static_cast<int>(divide_up(all_vectors, tiling.vectors));
    return tiling;
  }
  /// What moments are kept of: groups, unless they are long or spread over blocks; then channels.
  index_t units(index_t groups) const {
    constexpr index_t longest_group = 32;
    return chunks == 1 && channels / groups <= longest_group ? groups : channels;
  }
  /// Whole warps; what is left over has no pixels.
  unsigned block_threads() const {
    constexpr int warp = 32;
    return static_cast<unsigned>(divide_up(vectors * rows, warp) * warp);
  }
  index_t blocks(index_t frames) const { return frames * parts * chunks; }

 private:
  static constexpr index_t divide_up(index_t a, index_t b) { return (a + b - 1) / b; }
};

/// What a channel of a frame is normalised with: (value - mean) scale + shift.
struct ChannelScale {
  float mean, scale;
};

/// Bytes of workspace that group_norm asks for on the GPU: moments of every part, and the scales.
template <class In>
std::size_t group_norm_workspace(Device, const VideoView<In>& in) {
  if (in.size() == 0) return 0;
  const auto tiling = GroupNormTiling::of(in, 1);
  return workspace_bytes<PartMoments>(in.frames * tiling.parts * in.channels) +
         workspace_bytes<ChannelScale>(in.frames * in.channels);
}

}  // namespace stepvideo
