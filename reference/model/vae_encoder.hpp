// From frames to the mean and log-variance of their latents.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>

#include "model/vae_encoder_rooms.hpp"
#include "model/vae_layers.hpp"
#include "model/vae_memory.hpp"

namespace stepvideo::model {

/// The range that the release clamps log-variances to.
struct ClampLogVariance {
  constexpr float operator()(float x) const { return x < -30.0f ? -30.0f : x > 20.0f ? 20.0f : x; }
};

/// The encoder with its weights in the memory of `E`, where its views lie, too. Works chunk by chunk: 17
/// frames become three latent frames. A chunk's memory is vae::EncoderRooms' and is kept between calls.
template <Element T, Execution E>
class VaeEncoder {
 public:
  /// `source` has the tensors of expected_tensors(config). Throws RequestError where that has no encoder.
  VaeEncoder(E execution, const VaeConfig& config, WeightSource<E>&& source)
      : VaeEncoder(ParameterLoader<E>{execution, source}, config) {}

  const VaeConfig& config() const { return config_; }
  /// What a chunk may take from now on: so many of its frames go through the finest levels together as fit.
  /// The bits are the same.
  void limit_memory(const vae::MemoryLimit& limit) { limit_ = limit; }
  /// The memory that chunks were encoded in so far.
  std::size_t room_bytes() const { return memory_.size_bytes(); }
  void observe(vae::Observer* observer) { observer_ = observer; }

  /// Encodes one video. `video` (frames, height, width, 3) in [-1, 1]: 1 frame or a multiple
  /// of 17, height and width multiples of 16. `mean` and `log_variance` (1, frames', channels, height / 16,
  /// width / 16), log_variance clamped to [-30, 20]. Throws RequestError where a size is off
  /// the grid, or a limit of memory that no run of frames keeps.
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
  using Rooms = vae::EncoderRooms<T>;
  using Run = vae::Run<E>;

  VaeEncoder(const ParameterLoader<E>& from, const VaeConfig& config);

  static const VaeConfig& with_encoder(const VaeConfig& config) {
    require(
        config.encoder.has_value(),
        "this VAE has no encoder (no tensor encoder.conv_in.conv.weight); a checkpoint with both halves of "
        "the VAE works");
    return config;
  }

  /// Writes the first latent frames of both and returns how many elements of each that were.
  index_t encode_chunk(VideoView<const float> video, LatentsView<float> mean,
                       LatentsView<float> log_variance);

  /// The two finest levels of some frames, whose past lies before them in the video.
  void fine_run(const Run& run, VideoView<const float> video, const vae::EncoderFineRooms<T>& at) const {
    const index_t past = std::min(run.past_frames, vae::Pasts::most);
    video.data -= past * video.height * video.width * video.channels;
    video.frames += past;
    at.stem.visit([&](auto stem) {
      conv_in_(run.in("stem"), video, {.past_frames = static_cast<int>(past)}, Store{}, stem);
    });
    levels_[0](run.in("level 0"), at.level_0);
    at.halved.visit([&](auto halved) {
      downsamples_[0].of_frames(run.in("downsample 0"), at.whole, {.stride = 2}, halved);
    });
    levels_[1](run.in("level 1"), at.level_1);
  }

  /// From the last video to the moments: a convolution and an unshuffle, then a convolution, each with its
  /// shortcut.
  void patchify(const Run& run, const Rooms& at, const PartMomentsView& of_last) const {
    norm_out_(run, at.last, Activate<Silu>{}, at.last, of_last);
    conv_patchify_(run, at.last, {}, Store{}, at.narrow);
    pixel_unshuffle3d(execution_, at.narrow, 1, 1, Store{}, at.unshuffled);
    pixel_unshuffle3d(execution_, at.last, at.last.channels / at.narrow.channels, 1,
                      Residual<float>{at.unshuffled.rows()}, at.patches);
    average_channels(execution_, at.patches, Store{}, at.moments);
    run.did(vae::Work::other);
    conv_out_(run, at.patches, {}, Residual<float>{at.moments.rows()}, at.moments);
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
  vae::MemoryLimit limit_ = vae::MemoryLimit::usual(!std::same_as<E, Host>);
  vae::Observer* observer_ = nullptr;
};

// What launches kernels is not inline: elsewhere the instantiations of with_cuda_vae_*.cu and vae.cpp are
// called.

template <Element T, Execution E>
VaeEncoder<T, E>::VaeEncoder(const ParameterLoader<E>& from, const VaeConfig& config)
    : execution_(from.execution),
      config_(with_encoder(config)),
      conv_in_(from, "encoder.conv_in.conv"),
      middle_(from, "encoder.mid"),
      norm_out_(from, "encoder.norm_out"),
      conv_patchify_(from, "encoder.conv_patchify.conv.conv"),
      conv_out_(from, "encoder.conv_out.conv") {
  const auto& encoder = *config_.encoder;
  for (int level = 0; level < VaeConfig::levels; ++level) {
    const std::string name = "encoder.down." + std::to_string(level);
    levels_.emplace_back(from, name, encoder.down, level,
                         level == 0 ? encoder.stem_width : encoder.down.widths[level - 1]);
    if (level == 0) downsamples_.emplace_back(from, name + ".downsample.conv");
    if (level == 1 || level == 2) downsamples_.emplace_back(from, name + ".downsample.conv.conv");
  }
}

template <Element T, Execution E>
index_t VaeEncoder<T, E>::encode_chunk(VideoView<const float> video, LatentsView<float> mean,
                                       LatentsView<float> log_variance) {
  const VideoShape chunk{static_cast<int>(video.frames), static_cast<int>(video.height),
                         static_cast<int>(video.width)};
  const auto together = vae::encoder_frames_together<T>(config_, chunk, !std::same_as<E, Host>, limit_);
  const auto placed = vae::place(execution_, memory_, [&](vae::StreamSlab slab) {
    return Rooms::lay_out(config_, chunk, together, slab);
  });
  const Rooms& at = placed.rooms;
  const Run run{
      .execution = execution_, .scratch = placed.scratch, .moments = placed.moments, .observer = observer_};
  for (index_t first = 0; first < video.frames; first += at.together()) {
    const index_t count = std::min(at.together(), video.frames - first);
    fine_run(run.of_frames(first, count, video.frames), video.frames_from(first, count),
             at.run(first, count));
  }
  const ConvOptions by_two{.stride = 2};
  at.quartered.visit(
      [&](auto out) { downsamples_[1](run.in("downsample 1"), at.fine, by_two, Store{}, out); });
  levels_[2](run.in("level 2"), at.level_2);
  at.eighthed.visit(
      [&](auto out) { downsamples_[2](run.in("downsample 2"), at.level_2_out, by_two, Store{}, out); });
  auto moments = levels_[3](run.in("level 3"), at.level_3);
  moments = middle_(run.in("middle"), at.middle, moments);
  patchify(run.in("patchify"), at, moments);

  const index_t channels = config_.latent_channels, pixels = at.moments.pixels();
  const auto half = [&](index_t index) {
    return TokensView<float>{at.moments.data + index * channels, 1, pixels, channels, 0, 2 * channels};
  };
  convert(execution_, TokensView<const float>(half(1)), half(1), ClampLogVariance{});
  mean.shape.frames = log_variance.shape.frames = static_cast<int>(at.moments.frames);
  tokens_to_latents(execution_, TokensView<const float>(half(0)), mean);
  tokens_to_latents(execution_, TokensView<const float>(half(1)), log_variance);
  run.did(vae::Work::other);
  return channels * pixels;
}

}  // namespace stepvideo::model
