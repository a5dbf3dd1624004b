// From frames to the mean and log-variance of their latents.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>

#include "model/vae_layers.hpp"

namespace stepvideo::model {

/// The encoder with its weights in the memory of `E`, where its views lie, too. Works chunk by chunk: 17
/// frames become three latent frames. A chunk's memory is vae::EncoderRooms' and is kept between calls.
template <Element T, Execution E>
class VaeEncoder {
 public:
  /// Throws RequestError where the checkpoint is not a whole video VAE, or has no encoder.
  VaeEncoder(E execution, const io::Checkpoint& checkpoint)
      : execution_(execution),
        config_(config_of(checkpoint)),
        conv_in_(execution, checkpoint, "encoder.conv_in.conv"),
        middle_(execution, checkpoint, "encoder.mid"),
        norm_out_(execution, checkpoint, "encoder.norm_out"),
        conv_patchify_(execution, checkpoint, "encoder.conv_patchify.conv.conv"),
        conv_out_(execution, checkpoint, "encoder.conv_out.conv") {
    for (int level = 0; level < VaeConfig::levels; ++level) {
      const std::string name = "encoder.down." + std::to_string(level);
      levels_.emplace_back(execution, checkpoint, name, config_.encoder->down.blocks[level]);
      if (level == 0) downsamples_.emplace_back(execution, checkpoint, name + ".downsample.conv");
      if (level == 1 || level == 2)
        downsamples_.emplace_back(execution, checkpoint, name + ".downsample.conv.conv");
    }
  }

  const VaeConfig& config() const { return config_; }

  /// Encodes one video. `video` (frames, height, width, 3) in [-1, 1]: 1 frame or a multiple
  /// of 17, height and width multiples of 16. `mean` and `log_variance` (1, frames', channels, height / 16,
  /// width / 16), log_variance clamped to [-30, 20]. Throws RequestError where a size is off
  /// the grid.
  void encode(VideoView<const float> video, LatentsView<float> mean, LatentsView<float> log_variance) {
    const VideoShape shape{static_cast<int>(video.frames), static_cast<int>(video.height),
                           static_cast<int>(video.width)};
    require_video_on_grid(shape);
    require(video.channels == 3, [&] {
      return "the video has " + std::to_string(video.channels) + " channels; 3 (RGB) can be encoded";
    });
    for (const auto& latents : {mean, log_variance})
      require(latents.batch == 1 && latents.channels == config_.latent_channels &&
                  latents.shape == shape.latent(),
              "the encoder's results must have the latent's shape: one video, " +
                  std::to_string(config_.latent_channels) + " channels, " + to_string(shape) + " in latents");
    const index_t step = std::min<index_t>(video.frames, VideoShape::chunk_frames);
    for (index_t first = 0; first < video.frames; first += step) {
      const index_t moments = encode_chunk(video.frames_from(first, step), mean, log_variance);
      mean.data += moments;
      log_variance.data += moments;
    }
  }

 private:
  static VaeConfig config_of(const io::Checkpoint& checkpoint) {
    VaeConfig config = VaeConfig::of(checkpoint);
    require(config.encoder.has_value(), [&] {
      return checkpoint.path().string() +
             " has no encoder (no tensor encoder.conv_in.conv.weight); a checkpoint " +
             "with both halves of the VAE works";
    });
    return config;
  }

  using Rooms = vae::EncoderRooms<T>;

  Rooms make_room(VideoShape chunk) {
    const auto bytes = static_cast<index_t>(Rooms::lay_out(config_, chunk).bytes);
    if (bytes > memory_.size()) {
      memory_ = {};  // the old memory goes before the new is asked for
      memory_ = Buffer<std::byte, E>(execution_, bytes);
    }
    return Rooms::lay_out(config_, chunk, {memory_.data(), memory_.size_bytes()});
  }

  /// Writes the first latent frames of both and returns how many elements of each that were.
  index_t encode_chunk(VideoView<const float> video, LatentsView<float> mean,
                       LatentsView<float> log_variance) {
    const Rooms at = make_room(
        {static_cast<int>(video.frames), static_cast<int>(video.height), static_cast<int>(video.width)});
    conv_in_(execution_, video, Store{}, at.stem);
    for (int level = 0; level < VaeConfig::levels; ++level) {
      levels_[level](execution_, at.levels[level]);
      if (level < VaeConfig::levels - 1) downsample(level, at);
    }
    middle_(execution_, at.middle, {});
    patchify(at);

    const index_t channels = config_.latent_channels, pixels = at.moments.pixels();
    const auto half = [&](index_t index) {
      return TokensView<float>{at.moments.data + index * channels, 1, pixels, channels, 0, 2 * channels};
    };
    convert(execution_, TokensView<const float>(half(1)), half(1),
            [](float x) { return std::clamp(x, -30.0f, 20.0f); });
    mean.shape.frames = log_variance.shape.frames = static_cast<int>(at.moments.frames);
    tokens_to_latents(execution_, TokensView<const float>(half(0)), mean);
    tokens_to_latents(execution_, TokensView<const float>(half(1)), log_variance);
    return channels * pixels;
  }

  void downsample(int level, const Rooms& at) const {
    const auto& conv = downsamples_[level];
    const ConvOptions by_two{.stride = 2};
    if (level == 0)
      conv2d(execution_, at.whole[0], conv.weight(), conv.bias(), by_two, Store{}, at.halved[0]);
    else
      causal_conv3d(execution_, at.whole[level], conv.weight(), conv.bias(), by_two, Store{},
                    at.halved[level]);
  }

  /// From the last video to the moments: a convolution and an unshuffle, then a convolution, each with its
  /// shortcut.
  void patchify(const Rooms& at) const {
    norm_out_(execution_, at.last, Activate<Silu>{}, at.last);
    conv_patchify_(execution_, at.last, Store{}, at.narrow);
    pixel_unshuffle3d(execution_, at.narrow, 1, 1, Store{}, at.patches);
    pixel_unshuffle3d(execution_, at.last, at.last.channels / at.narrow.channels, 1,
                      Residual<float>{at.patches.rows()}, at.patches);
    average_channels(execution_, at.patches, Store{}, at.moments);
    conv_out_(execution_, at.patches, Residual<float>{at.moments.rows()}, at.moments);
  }

  E execution_;
  VaeConfig config_;
  vae::Convolution<T, E> conv_in_;
  vae::Middle<T, E> middle_;
  vae::Norm<T, E> norm_out_;
  vae::Convolution<T, E> conv_patchify_, conv_out_;
  std::vector<vae::Level<T, E>> levels_;             // by level
  std::vector<vae::Convolution<T, E>> downsamples_;  // after levels 0, 1, 2
  Buffer<std::byte, E> memory_;
};

}  // namespace stepvideo::model
