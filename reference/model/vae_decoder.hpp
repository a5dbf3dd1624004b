// From latents to frames.
#pragma once
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>

#include "model/vae_layers.hpp"
#include "model/vae_seam.hpp"

namespace stepvideo::model {

/// Two causal convolutions after a nearest doubling of frames, rows and columns: with u the doubled video,
/// which is never made, SiLU(norm(conv(SiLU(norm(conv(u))))) + u) + u.
template <Element T, Execution E>
class VaeVolumeUpsample {
 public:
  VaeVolumeUpsample(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : conv1_(execution, checkpoint, name + ".conv3d.conv1.conv"),
        norm1_(execution, checkpoint, name + ".conv3d.norm1"),
        conv2_(execution, checkpoint, name + ".conv3d.conv2.conv"),
        norm2_(execution, checkpoint, name + ".conv3d.norm2") {}

  void operator()(vae::Stream<E>& stream) const {
    const E execution = stream.execution;
    const VideoView<float> x = stream.x;
    const auto hidden =
        stream.second.template video<float>(execution, 2 * x.frames, 2 * x.height, 2 * x.width, x.channels);
    conv1_(execution, x, Store{}, hidden);
    const auto normed = stream.first.template video<T>(execution, hidden.frames, hidden.height, hidden.width,
                                                       hidden.channels);
    norm1_(execution, hidden, Activate<Silu>{}, normed);
    conv2_(execution, normed, Store{}, hidden);
    const DoubledResidual<float> add{x};
    norm2_(execution, hidden, chain(add, Activate<Silu>{}, add), hidden);
    stream.advance(stream.second, hidden);
  }

 private:
  vae::Convolution<T, E, ConvForm::after_doubling> conv1_;
  vae::Norm<T, E> norm1_;
  vae::Convolution<T, E> conv2_;
  vae::Norm<T, E> norm2_;
};

/// The decoder with its weights in the memory of `E`. Works chunk by chunk: three latent frames become 17
/// frames; memory is that of one chunk, and is kept between calls.
template <Element T, Execution E>
class VaeDecoder {
 public:
  /// Throws RequestError where the checkpoint is not a whole video VAE.
  VaeDecoder(E execution, const io::Checkpoint& checkpoint)
      : config_(VaeConfig::of(checkpoint)),
        conv_in_(execution, checkpoint, "decoder.conv_in.conv"),
        conv_unpatchify_(execution, checkpoint, "decoder.conv_unpatchify.conv.conv"),
        middle_(execution, checkpoint, "decoder.mid"),
        norm_out_(execution, checkpoint, "decoder.norm_out"),
        conv_out_(execution, checkpoint, "decoder.conv_out"),
        upsample_1_(execution, checkpoint, "decoder.up.1.upsample.conv"),
        stream_{.execution = execution} {
    for (int level = 0; level < VaeConfig::levels; ++level) {
      const std::string name = "decoder.up." + std::to_string(level);
      levels_.emplace_back(execution, checkpoint, name, config_.decoder.up.blocks[level]);
      if (level >= 2) volume_upsamples_.emplace_back(execution, checkpoint, name + ".upsample");
    }
  }

  const VaeConfig& config() const { return config_; }
  void observe(vae::Observer observer) { observer_ = std::move(observer); }

  /// Decodes one video. `latents` (1, frames, channels, height, width) in host memory: one frame gives one
  /// image, a multiple of three gives 17 frames for each three. `on_frames` gets (frames, 16 height, 16
  /// width, 3), nominally in [-1, 1], not clamped, in order, as soon as the seams around them are blended;
  /// the view is valid during the call. Throws RequestError naming frames or channels that do not fit.
  void decode(LatentsView<const float> latents,
              const std::function<void(VideoView<const float>)>& on_frames) {
    const LatentShape shape = latents.shape;
    require(latents.batch == 1, [&] {
      return "the latents hold " + std::to_string(latents.batch) + " videos; the decoder takes one at a time";
    });
    require(latents.channels == config_.latent_channels, [&] {
      return "the latents have " + std::to_string(latents.channels) +
             " channels and the VAE's decoder takes " + std::to_string(config_.latent_channels);
    });
    require(shape.frames == 1 || (shape.frames > 0 && shape.frames % VideoShape::chunk_latent_frames == 0),
            [&] {
              return "the latents have " + std::to_string(shape.frames) +
                     " frames; 1 (an image) or a multiple of 3 can be decoded";
            });
    require(shape.height > 0 && shape.width > 0,
            "the latents have no pixels; height and width must be 1 or more");
    const int step = std::min(shape.frames, VideoShape::chunk_latent_frames);
    const index_t frame_size = latents.channels * shape.height * shape.width;
    VaeSeam seam;
    for (int first = 0; first < shape.frames; first += step) {
      LatentsView<const float> chunk = latents;
      chunk.data += first * frame_size;
      chunk.shape.frames = step;
      seam.join(decode_chunk(chunk), first + step == shape.frames, on_frames);
    }
  }

 private:
  /// Leaves the frames of one chunk in pixels_.
  VideoView<float> decode_chunk(LatentsView<const float> latents) {
    const E execution = stream_.execution;
    stem(latents);
    middle_(stream_, observer_);
    for (int level = VaeConfig::levels - 1; level >= 0; --level) {
      levels_[level](stream_);
      if (level >= 2) volume_upsamples_[level - 2](stream_);
      if (level == 1) upsample_space();
      if (level >= 1 && observer_) observer_("decoder.up." + std::to_string(level) + ".upsample", stream_.x);
    }
    const VideoView<float> x = stream_.x;
    const auto normed = stream_.template like_x<T>(stream_.first, x.channels);
    norm_out_(execution, x, Activate<Silu>{}, normed);
    VideoView<float> frames{nullptr, x.frames - skipped_frames, x.height, x.width, 3};
    Buffer<float, E> pixels(execution, frames.size());
    frames.data = pixels.data();
    causal_conv3d(execution, normed, conv_out_.weight(), conv_out_.bias(), {.skipped_frames = skipped_frames},
                  Store{}, frames);
    pixels_ = vae::fetch(execution, std::move(pixels));
    frames.data = pixels_.data();
    return frames;
  }

  /// From latents to the first video: two convolutions and a shuffle, each with its shortcut.
  void stem(LatentsView<const float> latents) {
    const E execution = stream_.execution;
    const LatentShape shape = latents.shape;
    const Buffer<float, E> placed = vae::place(execution, latents.data, latents.size());
    latents.data = placed.data();
    const auto z = stream_.first.template video<float>(execution, shape.frames, shape.height, shape.width,
                                                       latents.channels);
    latents_to_tokens(execution, latents, TokensView<float>::dense(z.data, 1, z.pixels(), z.channels));

    const index_t stem_width = config_.decoder.stem_width, width = config_.decoder.mid_width;
    const auto x = stream_.current.template video<float>(execution, z.frames, z.height, z.width, stem_width);
    const auto repeated =
        stream_.second.template video<float>(execution, z.frames, z.height, z.width, stem_width);
    repeat_channels(execution, z, Store{}, repeated);
    conv_in_(execution, z, Residual<float>{repeated.rows()}, x);
    if (observer_) observer_("decoder.conv_in", x);

    const auto patches =
        stream_.first.template video<float>(execution, z.frames, z.height, z.width, 8 * width);
    conv_unpatchify_(execution, x, Store{}, patches);
    const auto shuffled =
        stream_.second.template video<float>(execution, 2 * z.frames - 1, 2 * z.height, 2 * z.width, width);
    pixel_shuffle3d(execution, patches, 1, 1, Store{}, shuffled);
    pixel_shuffle3d(execution, x, 8 * width / stem_width, 1, Residual<float>{shuffled.rows()}, shuffled);
    stream_.advance(stream_.second, shuffled);
    if (observer_) observer_("decoder.conv_unpatchify", shuffled);
  }

  void upsample_space() {
    const VideoView<float> x = stream_.x;
    const auto doubled = stream_.first.template video<float>(stream_.execution, x.frames, 2 * x.height,
                                                             2 * x.width, x.channels);
    conv2d(stream_.execution, x, upsample_1_.weight(), upsample_1_.bias(), {}, Store{}, doubled);
    stream_.advance(stream_.first, doubled);
  }

  /// Time was doubled twice without its past: so many first frames are no part of the video.
  static constexpr int skipped_frames = 3;

  VaeConfig config_;
  vae::Convolution<T, E> conv_in_, conv_unpatchify_;
  vae::Middle<T, E> middle_;
  vae::Norm<T, E> norm_out_;
  vae::Convolution<T, E> conv_out_;
  vae::Convolution<T, E, ConvForm::after_doubling> upsample_1_;
  std::vector<vae::Level<T, E>> levels_;                   // by level
  std::vector<VaeVolumeUpsample<T, E>> volume_upsamples_;  // of levels 2 and 3
  vae::Stream<E> stream_;
  Buffer<float> pixels_;
  vae::Observer observer_;
};

}  // namespace stepvideo::model
