// From latents to frames.
#pragma once
#include <algorithm>
#include <concepts>
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

  void operator()(E execution, const vae::VolumeUpsampleRooms<T>& at) const {
    conv1_(execution, at.in, Store{}, at.out);
    norm1_(execution, at.out, Activate<Silu>{}, at.normed);
    conv2_(execution, at.normed, Store{}, at.out);
    const DoubledResidual<float> add{at.in};
    norm2_(execution, at.out, chain(add, Activate<Silu>{}, add), at.out);
  }

 private:
  vae::Convolution<T, E, ConvForm::after_doubling> conv1_;
  vae::Norm<T, E> norm1_;
  vae::Convolution<T, E> conv2_;
  vae::Norm<T, E> norm2_;
};

/// The decoder with its weights in the memory of `E`, where its views lie, too. Works chunk by chunk: three
/// latent frames become 17 frames. A chunk's memory is vae::DecoderRooms' and is kept between calls; beside
/// it one frame waits for the next chunk.
template <Element T, Execution E>
class VaeDecoder {
 public:
  /// Throws RequestError where the checkpoint is not a whole video VAE.
  VaeDecoder(E execution, const io::Checkpoint& checkpoint)
      : execution_(execution),
        config_(VaeConfig::of(checkpoint)),
        conv_in_(execution, checkpoint, "decoder.conv_in.conv"),
        conv_unpatchify_(execution, checkpoint, "decoder.conv_unpatchify.conv.conv"),
        middle_(execution, checkpoint, "decoder.mid"),
        norm_out_(execution, checkpoint, "decoder.norm_out"),
        conv_out_(execution, checkpoint, "decoder.conv_out"),
        upsample_1_(execution, checkpoint, "decoder.up.1.upsample.conv") {
    for (int level = 0; level < VaeConfig::levels; ++level) {
      const std::string name = "decoder.up." + std::to_string(level);
      levels_.emplace_back(execution, checkpoint, name, config_.decoder.up.blocks[level]);
      if (level >= 2) volume_upsamples_.emplace_back(execution, checkpoint, name + ".upsample");
    }
  }

  const VaeConfig& config() const { return config_; }
  /// The memory that chunks were decoded in so far: the most that vae::DecoderRooms asked for.
  std::size_t room_bytes() const { return memory_.size_bytes(); }
  void observe(vae::Observer observer) { observer_ = std::move(observer); }

  /// Decodes one video. `latents` (1, frames, channels, height, width): one frame gives one
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
    static_assert(std::same_as<E, Host>, "seams are blended in the host's memory");
    VaeSeam seam;
    for (int first = 0; first < shape.frames; first += step) {
      LatentsView<const float> chunk = latents;
      chunk.data += first * frame_size;
      chunk.shape.frames = step;
      seam.join(decode_chunk(chunk), first + step == shape.frames, on_frames);
    }
  }

 private:
  using Rooms = vae::DecoderRooms<T>;

  Rooms make_room(LatentShape chunk) {
    const auto bytes = static_cast<index_t>(Rooms::lay_out(config_, chunk).bytes);
    if (bytes > memory_.size()) {
      memory_ = {};  // the old memory goes before the new is asked for
      memory_ = Buffer<std::byte, E>(execution_, bytes);
    }
    return Rooms::lay_out(config_, chunk, {memory_.data(), memory_.size_bytes()});
  }

  /// The frames of one chunk, valid until the next.
  VideoView<float> decode_chunk(LatentsView<const float> latents) {
    const Rooms at = make_room(latents.shape);
    stem(latents, at);
    middle_(execution_, at.middle, observer_);
    for (int level = VaeConfig::levels - 1; level >= 0; --level) {
      levels_[level](execution_, at.levels[level]);
      if (level >= 2) {
        volume_upsamples_[level - 2](execution_, at.volume_upsamples[level - 2]);
        observe("decoder.up." + std::to_string(level) + ".upsample", at.volume_upsamples[level - 2].out);
      }
      if (level == 1) {
        conv2d(execution_, at.narrow, upsample_1_.weight(), upsample_1_.bias(), {}, Store{}, at.widened);
        observe("decoder.up.1.upsample", at.widened);
      }
    }
    norm_out_(execution_, at.last, Activate<Silu>{}, at.normed);
    causal_conv3d(execution_, at.normed, conv_out_.weight(), conv_out_.bias(),
                  {.skipped_frames = Rooms::skipped_frames}, Store{}, at.pixels);
    return at.pixels;
  }

  /// From latents to the first video: two convolutions and a shuffle, each with its shortcut.
  void stem(LatentsView<const float> latents, const Rooms& at) const {
    latents_to_tokens(execution_, latents,
                      TokensView<float>::dense(at.latents.data, 1, at.latents.pixels(), at.latents.channels));
    repeat_channels(execution_, at.latents, Store{}, at.repeated);
    conv_in_(execution_, at.latents, Residual<float>{at.repeated.rows()}, at.stem);
    observe("decoder.conv_in", at.stem);

    conv_unpatchify_(execution_, at.stem, Store{}, at.patches);
    pixel_shuffle3d(execution_, at.patches, 1, 1, Store{}, at.shuffled);
    pixel_shuffle3d(execution_, at.stem, at.patches.channels / at.stem.channels, 1,
                    Residual<float>{at.shuffled.rows()}, at.shuffled);
    observe("decoder.conv_unpatchify", at.shuffled);
  }

  void observe(const std::string& layer, VideoView<const float> result) const {
    if (observer_) observer_(layer, result);
  }

  E execution_;
  VaeConfig config_;
  vae::Convolution<T, E> conv_in_, conv_unpatchify_;
  vae::Middle<T, E> middle_;
  vae::Norm<T, E> norm_out_;
  vae::Convolution<T, E> conv_out_;
  vae::Convolution<T, E, ConvForm::after_doubling> upsample_1_;
  std::vector<vae::Level<T, E>> levels_;                   // by level
  std::vector<VaeVolumeUpsample<T, E>> volume_upsamples_;  // of levels 2 and 3
  Buffer<std::byte, E> memory_;
  vae::Observer observer_;
};

}  // namespace stepvideo::model
