// From latents to frames.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/elementwise/pixels.hpp>

#include "model/decoded_chunk.hpp"
#include "model/frames_to_host.hpp"
#include "model/vae_deal.hpp"
#include "model/vae_decoder_rooms.hpp"
#include "model/vae_layers.hpp"
#include "model/vae_memory.hpp"

namespace stepvideo::model {

/// Two causal convolutions after a nearest doubling of frames, rows and columns: with u the doubled video,
/// which is never made, SiLU(norm(conv(SiLU(norm(conv(u))))) + u) + u.
template <Element T, Execution E, Element N = T>
class VaeVolumeUpsample {
 public:
  VaeVolumeUpsample(const ParameterLoader<E>& from, const std::string& name)
      : conv1_(from, name + ".conv3d.conv1.conv"),
        norm1_(from, name + ".conv3d.norm1"),
        conv2_(from, name + ".conv3d.conv2.conv", norm1_.quantization()),
        norm2_(from, name + ".conv3d.norm2") {}

  /// Before `at.in` lie the run's past frames.
  void operator()(const vae::Run<E>& run, const vae::VolumeUpsampleRooms<T, N>& at) const {
    const index_t past = std::min<index_t>(run.past_frames, 1);
    VideoView<T> in = at.in;
    in.data -= past * in.height * in.width * in.channels;
    in.frames += past;
    auto moments = conv1_.before_norm(run, in, {.past_frames = static_cast<int>(past)}, Store{}, at.hidden);
    norm1_(run, at.hidden, Activate<Silu>{}, at.normed, moments);
    vae::Run<E> doubled = run;
    doubled.past_frames *= 2;
    moments = conv2_.behind(doubled, at.past, at.normed, Store{}, at.hidden);
    const DoubledResidual<T> add{at.in};
    at.out.visit([&](auto out) { norm2_(run, at.hidden, chain(add, Activate<Silu>{}, add), out, moments); });
  }

 private:
  vae::Convolution<T, E, ConvForm::after_doubling> conv1_;
  vae::Norm<T, E, N> norm1_;
  vae::Convolution<T, E, ConvForm::plain, N> conv2_;
  vae::Norm<T, E> norm2_;
};

/// The decoder with its weights in the memory of `E`; convolutions behind norms, but for the last, are N: T,
/// or fp8 where the GPU has warpgroup products. Works chunk by chunk: three latent frames become 17 frames. A
/// chunk's memory is vae::DecoderRooms' and is kept between calls; beside it the host's memory holds the
/// pixels of one chunk, or pinned memory those of two where a GPU makes them.
template <Element T, Execution E, Element N = T>
class VaeDecoder {
 public:
  /// `source` has the tensors of expected_tensors(config).
  VaeDecoder(E execution, const VaeConfig& config, WeightSource<E>&& source)
      : VaeDecoder(ParameterLoader<E>{execution, source}, config) {}

  const VaeConfig& config() const { return config_; }
  /// What a chunk may take from now on: so many of its finest frames go together as fit. The bits are the
  /// same.
  void limit_memory(const vae::MemoryLimit& limit) { limit_ = limit; }
  /// The memory that chunks were decoded in so far.
  std::size_t room_bytes() const { return memory_.size_bytes(); }
  void observe(vae::Observer* observer) { observer_ = observer; }

  /// Decodes one video. `latents` (1, frames, channels, height, width), in the memory of `E`: one frame gives
  /// one image, a multiple of three gives 17 frames for each three. `on_frames` gets frames of 16 height x 16
  /// width pixels as `format`, in the host's memory, in order, as soon as the seams around them are joined;
  /// the view is valid during the call. A GPU works on the next chunk meanwhile. Throws RequestError naming
  /// frames or channels that do not fit, or a limit of memory that no run of frames keeps.
  void decode(LatentsView<const float> latents, const io::PixelFormat& format, const OnFrames& on_frames) {
    decode_chunks(latents, {}, format, [&](const DecodedChunk& chunk) { on_frames(chunk.frames); });
  }

  /// Decodes some chunks of the same: `on_chunk` gets each, in order. Throws as decode() does.
  void decode_chunks(LatentsView<const float> latents, vae::ChunkDeal deal, const io::PixelFormat& format,
                     const OnChunk& on_chunk) {
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
    const DecodedChunkRooms rooms{VideoShape::from_latent(shape), deal, format};
    const int step = std::min(shape.frames, VideoShape::chunk_latent_frames), chunks = rooms.video.chunks();
    const index_t frame_size = latents.channels * shape.height * shape.width;
    FramesToHost<E> to_host(execution_, rooms);
    for (int chunk = deal.first; chunk < chunks; chunk += deal.stride) {
      LatentsView<const float> own = latents;
      own.data += chunk * step * frame_size;
      own.shape.frames = step;
      const Decoded decoded = decode_chunk(own);
      to_host.pass(
          chunk, chunk + deal.stride >= chunks,
          [&](const DecodedChunk& to) { write_pixels(decoded, rooms, to); }, on_chunk);
    }
  }

 private:
  using Rooms = vae::DecoderRooms<T, N>;
  using Run = vae::Run<E>;

  VaeDecoder(const ParameterLoader<E>& from, const VaeConfig& config);

  /// The frames of one chunk, valid until the next, and where its last one waits for that.
  struct Decoded {
    VideoView<float> frames, waiting;
  };
  Decoded decode_chunk(LatentsView<const float> latents);
  /// Gives the execution the work that fills `to`.
  void write_pixels(const Decoded& chunk, const DecodedChunkRooms& rooms, const DecodedChunk& to) const;

  /// From latents to the first video: two convolutions and a shuffle, each with its shortcut.
  void stem(LatentsView<const float> latents, const Run& run, const Rooms& at) const {
    latents_to_tokens(execution_, latents,
                      TokensView<T>::dense(at.latents.data, 1, at.latents.pixels(), at.latents.channels));
    repeat_channels(execution_, at.latents, Store{}, at.repeated);
    conv_in_(run, at.latents, {}, Residual<float>{at.repeated.rows()}, at.stem);
    run.show("decoder.conv_in", at.stem);

    conv_unpatchify_(run, at.stem, {}, Store{}, at.patches);
    pixel_shuffle3d(execution_, at.patches, 1, 1, Store{}, at.shuffled);
    pixel_shuffle3d(execution_, at.stem, at.patches.channels / at.stem.channels, 1,
                    Residual<float>{at.shuffled.rows()}, at.shuffled);
    run.did(vae::Work::other);
    run.show("decoder.conv_unpatchify", at.shuffled);
  }

  /// From `count` of level 2's frames to their pixels.
  void coarse_run(const Run& whole, const Rooms& rooms, index_t first, index_t count) const {
    const vae::DecoderRuns& runs = rooms.tail.runs();
    const auto at = rooms.tail.coarse(first, count);
    volume_upsamples_[0](whole.in("upsample 2").of_frames(first, count, runs.coarse_frames), at.upsample);
    at.upsample.out.visit([&](auto out) { whole.show("decoder.up.2.upsample", out); });
    levels_[1](whole.in("level 1").of_frames(2 * first, 2 * count, runs.fine_frames()), at.blocks);
    for (index_t done = 0; done < 2 * count; done += runs.fine) {
      const index_t frames = std::min(runs.fine, 2 * count - done);
      fine_run(whole.in("level 0").of_frames(2 * first + done, frames, runs.fine_frames()),
               rooms.tail.fine(at, done, frames), rooms.pixels);
    }
  }

  void fine_run(const Run& run, const vae::DecoderFineRooms<T, N>& at, VideoView<float> pixels) const {
    at.widened.visit([&](auto widened) {
      upsample_1_.of_frames(run.in("upsample 1"), at.narrow, {}, widened);
      run.show("decoder.up.1.upsample", widened);
    });
    const auto moments = levels_[0](run, at.blocks);
    norm_out_(run, at.last, Activate<Silu>{}, at.normed, moments);
    const index_t skipped = std::clamp<index_t>(Rooms::skipped_frames - run.past_frames, 0, at.last.frames);
    const index_t first = std::max<index_t>(run.past_frames - Rooms::skipped_frames, 0);
    conv_out_.behind_skipping(run, at.past, at.normed, static_cast<int>(skipped),
                              pixels.frames_from(first, at.last.frames - skipped));
  }

  E execution_;
  VaeConfig config_;
  vae::Convolution<T, E> conv_in_, conv_unpatchify_;
  vae::Middle<T, E, N> middle_;
  vae::Norm<T, E> norm_out_;
  vae::Convolution<T, E> conv_out_;
  vae::Convolution<T, E, ConvForm::after_doubling> upsample_1_;
  std::vector<vae::Level<T, E, N>> levels_;                   // by level
  std::vector<VaeVolumeUpsample<T, E, N>> volume_upsamples_;  // of levels 2 and 3
  Buffer<std::byte, E> memory_;
  vae::MemoryLimit limit_ = vae::MemoryLimit::usual(!std::same_as<E, Host>);
  vae::Observer* observer_ = nullptr;
};

// What launches kernels is not inline: elsewhere the instantiations of with_cuda_vae_*.cu and vae.cpp are
// called.

template <Element T, Execution E, Element N>
VaeDecoder<T, E, N>::VaeDecoder(const ParameterLoader<E>& from, const VaeConfig& config)
    : execution_(from.execution),
      config_(config),
      conv_in_(from, "decoder.conv_in.conv"),
      conv_unpatchify_(from, "decoder.conv_unpatchify.conv.conv"),
      middle_(from, "decoder.mid"),
      norm_out_(from, "decoder.norm_out"),
      conv_out_(from, "decoder.conv_out"),
      upsample_1_(from, "decoder.up.1.upsample.conv") {
  const auto& up = config.decoder.up;
  for (int level = 0; level < VaeConfig::levels; ++level) {
    const std::string name = "decoder.up." + std::to_string(level);
    const bool is_first = level + 1 == VaeConfig::levels;
    levels_.emplace_back(from, name, up, level, is_first ? config.decoder.mid_width : up.widths[level + 1]);
    if (level >= 2) volume_upsamples_.emplace_back(from, name + ".upsample");
  }
}

template <Element T, Execution E, Element N>
auto VaeDecoder<T, E, N>::decode_chunk(LatentsView<const float> latents) -> Decoded {
  const index_t together =
      vae::decoder_frames_together<T, N>(config_, latents.shape, !std::same_as<E, Host>, limit_);
  const auto placed = vae::place(execution_, memory_, [&](vae::StreamSlab slab) {
    return Rooms::lay_out(config_, latents.shape, together, slab);
  });
  const Rooms& at = placed.rooms;
  const Run run{
      .execution = execution_, .scratch = placed.scratch, .moments = placed.moments, .observer = observer_};
  stem(latents, run.in("stem"), at);
  const auto moments = middle_(run.in("middle"), at.middle);
  levels_[3](run.in("level 3"), at.level_3, moments);
  volume_upsamples_[1](run.in("upsample 3"), at.upsample_3);
  at.upsample_3.out.visit([&](auto out) { run.show("decoder.up.3.upsample", out); });
  levels_[2](run.in("level 2"), at.level_2);
  const vae::DecoderRuns& runs = at.tail.runs();
  for (index_t first = 0; first < runs.coarse_frames; first += runs.coarse)
    coarse_run(run, at, first, std::min(runs.coarse, runs.coarse_frames - first));
  return {at.pixels, at.waiting};
}

template <Element T, Execution E, Element N>
void VaeDecoder<T, E, N>::write_pixels(const Decoded& chunk, const DecodedChunkRooms& rooms,
                                       const DecodedChunk& to) const {
  const auto& [frames, waiting] = chunk;
  const bool has_before = rooms.has_before(to.number), has_behind = rooms.has_behind(to.number);
  const VideoView<float> first = frames.frames_from(0, 1), last = frames.frames_from(frames.frames - 1, 1);
  for (const auto* part : {&to.frames, &to.front, &to.back})
    std::fill_n(part->marks, part->frames, std::uint8_t{0});
  const auto write = [&](VideoView<const float> from, const io::PixelFormat& format,
                         const PixelFrames<std::uint8_t>& out) {
    io::write_pixels(execution_, from, format, out);
  };
  if (rooms.leaves_seams()) {
    if (has_before) write(first, FloatPixels{}, to.front);
    write(frames.frames_from(has_before, to.frames.frames), rooms.format, to.frames);
    if (has_behind) write(last, FloatPixels{}, to.back);
    return;
  }
  if (has_before) {
    join_seam(execution_, VectorView<float>{waiting.data, waiting.size()}, {first.data, first.size()});
    write(waiting, rooms.format, to.frames.frames_from(0, 1));
  }
  const index_t done = frames.frames - (has_behind ? 1 : 0);
  write(frames.frames_from(0, done), rooms.format, to.frames.frames_from(has_before, done));
  if (has_behind)
    copy(execution_, VectorView<const float>{last.data, last.size()},
         VectorView<float>{waiting.data, waiting.size()});
}

}  // namespace stepvideo::model
