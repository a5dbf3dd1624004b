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

/// The encoder with its weights in the memory of `E`. Works chunk by chunk: 17 frames become three latent
/// frames; memory is that of one chunk, and is kept between calls.
template <Element T, Execution E>
class VaeEncoder {
 public:
  /// Throws RequestError where the checkpoint is not a whole video VAE, or has no encoder.
  VaeEncoder(E execution, const io::Checkpoint& checkpoint)
      : config_(config_of(checkpoint)),
        conv_in_(execution, checkpoint, "encoder.conv_in.conv"),
        middle_(execution, checkpoint, "encoder.mid"),
        norm_out_(execution, checkpoint, "encoder.norm_out"),
        conv_patchify_(execution, checkpoint, "encoder.conv_patchify.conv.conv"),
        conv_out_(execution, checkpoint, "encoder.conv_out.conv"),
        stream_{.execution = execution} {
    for (int level = 0; level < VaeConfig::levels; ++level) {
      const std::string name = "encoder.down." + std::to_string(level);
      levels_.emplace_back(execution, checkpoint, name, config_.encoder->down.blocks[level]);
      if (level == 0) downsamples_.emplace_back(execution, checkpoint, name + ".downsample.conv");
      if (level == 1 || level == 2)
        downsamples_.emplace_back(execution, checkpoint, name + ".downsample.conv.conv");
    }
  }

  const VaeConfig& config() const { return config_; }

  /// Encodes one video. `video` (frames, height, width, 3) in [-1, 1], in host memory: 1 frame or a multiple
  /// of 17, height and width multiples of 16. `mean` and `log_variance` (1, frames', channels, height / 16,
  /// width / 16) in host memory, log_variance clamped to [-30, 20]. Throws RequestError where a size is off
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
      encode_chunk(video.frames_from(first, step), mean, log_variance);
      const index_t size = mean.channels * chunk_latent_frames_ * mean.shape.height * mean.shape.width;
      mean.data += size;
      log_variance.data += size;
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

  void encode_chunk(VideoView<const float> video, LatentsView<float> mean, LatentsView<float> log_variance) {
    const E execution = stream_.execution;
    load(video);
    for (int level = 0; level < VaeConfig::levels; ++level) {
      levels_[level](stream_);
      if (level < 3) downsample(level);
    }
    middle_(stream_, {});
    const VideoView<float> moments = patchify();
    chunk_latent_frames_ = moments.frames;

    const index_t channels = config_.latent_channels, pixels = moments.pixels();
    const auto half = [&](index_t first) {
      return TokensView<float>{moments.data + first * channels, 1, pixels, channels, 0, 2 * channels};
    };
    convert(execution, TokensView<const float>(half(1)), half(1),
            [](float x) { return std::clamp(x, -30.0f, 20.0f); });
    for (auto [index, out] : {std::pair{0, mean}, std::pair{1, log_variance}}) {
      Buffer<float, E> values(execution, channels * pixels);
      LatentsView<float> chunk = out;
      chunk.shape.frames = static_cast<int>(moments.frames);
      chunk.data = values.data();
      tokens_to_latents(execution, TokensView<const float>(half(index)), chunk);
      const Buffer<float> on_host = vae::fetch(execution, std::move(values));
      std::copy(on_host.begin(), on_host.end(), out.data);
    }
  }

  void load(VideoView<const float> video) {
    const E execution = stream_.execution;
    const Buffer<float, E> placed = vae::place(execution, video.data, video.size());
    video.data = placed.data();
    stream_.x = stream_.current.template video<float>(execution, video.frames, video.height, video.width,
                                                      conv_in_.out_channels());
    conv_in_(execution, video, Store{}, stream_.x);
  }

  /// Level 0 halves height and width; levels 1 and 2 halve time as well, (n + 1) / 2 frames remain.
  void downsample(int level) {
    const E execution = stream_.execution;
    const VideoView<float> x = stream_.x;
    const auto& conv = downsamples_[level];
    const index_t frames = level == 0 ? x.frames : (x.frames + 1) / 2;
    const auto halved =
        stream_.first.template video<float>(execution, frames, x.height / 2, x.width / 2, x.channels);
    if (level == 0)
      conv2d(execution, x, conv.weight(), conv.bias(), {.stride = 2}, Store{}, halved);
    else
      causal_conv3d(execution, x, conv.weight(), conv.bias(), {.stride = 2}, Store{}, halved);
    stream_.advance(stream_.first, halved);
  }

  /// From the last video to the moments: a convolution and an unshuffle, then a convolution, each with its
  /// shortcut.
  VideoView<float> patchify() {
    const E execution = stream_.execution;
    const VideoView<float> x = stream_.x;
    norm_out_(execution, x, Activate<Silu>{}, x);
    const index_t patch_width = config_.encoder->patch_width;
    const auto narrow = stream_.template like_x<float>(stream_.first, patch_width);
    conv_patchify_(execution, x, Store{}, narrow);
    const auto patches = stream_.second.template video<float>(execution, (x.frames + 1) / 2, x.height / 2,
                                                              x.width / 2, 8 * patch_width);
    pixel_unshuffle3d(execution, narrow, 1, 1, Store{}, patches);
    pixel_unshuffle3d(execution, x, x.channels / patch_width, 1, Residual<float>{patches.rows()}, patches);
    const auto moments = stream_.first.template video<float>(execution, patches.frames, patches.height,
                                                             patches.width, 2 * config_.latent_channels);
    average_channels(execution, patches, Store{}, moments);
    conv_out_(execution, patches, Residual<float>{moments.rows()}, moments);
    return moments;
  }

  VaeConfig config_;
  vae::Convolution<T, E> conv_in_;
  vae::Middle<T, E> middle_;
  vae::Norm<T, E> norm_out_;
  vae::Convolution<T, E> conv_patchify_, conv_out_;
  std::vector<vae::Level<T, E>> levels_;             // by level
  std::vector<vae::Convolution<T, E>> downsamples_;  // after levels 0, 1, 2
  vae::Stream<E> stream_;
  index_t chunk_latent_frames_ = 0;
};

}  // namespace stepvideo::model
