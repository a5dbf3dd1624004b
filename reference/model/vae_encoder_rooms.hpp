// The memory that an encoded chunk is made in.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include <stepvideo/core/shape.hpp>

#include "model/vae_rooms.hpp"

namespace stepvideo::model::vae {

/// The two finest levels, for some of a chunk's frames.
template <Element T>
struct EncoderFineRooms {
  StreamVideo<T> stem;
  std::vector<ResidualRooms<T>> level_0, level_1;
  VideoView<T> whole;     ///< level 0's result
  StreamVideo<T> halved;  ///< its rows and columns, halved
  std::size_t bytes = 0, past_bytes = 0;
  NormScratch scratch;

  static EncoderFineRooms lay_out(const VaeConfig::Encoder& encoder, index_t frames, index_t height,
                                  index_t width, Pasts pasts, StreamSlab slab = {}) {
    EncoderFineRooms at;
    at.stem = StreamVideo<T>::take(slab, enters_narrow(encoder.down, 0, encoder.stem_width), frames, height,
                                   width, encoder.stem_width);
    at.level_0 = lay_out_level<T>(slab, pasts, encoder.down, 0, true);
    at.whole = slab.stream<T>();
    at.halved = StreamVideo<T>::take(slab, enters_narrow(encoder.down, 1, encoder.down.widths[0]), frames,
                                     height / 2, width / 2, encoder.down.widths[0]);
    at.level_1 = lay_out_level<T>(slab, pasts, encoder.down, 1, true);
    at.bytes = slab.peak_bytes();
    at.scratch = slab.scratch();
    at.past_bytes = pasts.bytes();
    return at;
  }
};

/// Everything that one encoded chunk is made in. `together` of its frames go through the two finest levels at
/// a time; where those are not all, each convolution there keeps its last two input frames for the next run.
template <Element T>
struct EncoderRooms {
  VideoView<T> fine;         ///< level 1's result, of all frames
  StreamVideo<T> quartered;  ///< its frames, rows and columns, halved
  std::vector<ResidualRooms<T>> level_2, level_3;
  VideoView<T> level_2_out;
  StreamVideo<T> eighthed;
  MiddleRooms<T> middle;
  VideoView<T> last;
  VideoView<float> narrow, unshuffled;
  VideoView<T> patches;
  VideoView<float> moments;
  std::size_t bytes = 0;
  NormScratch scratch;

  /// `chunk`: one frame or 17, on the latents' grid; `together` 0 for all. In a slab without memory, counts.
  static EncoderRooms lay_out(const VaeConfig& config, VideoShape chunk, index_t together = 0,
                              StreamSlab slab = {}) {
    const auto& encoder = *config.encoder;
    const auto& widths = encoder.down.widths;
    Pasts none;
    EncoderRooms at;
    at.encoder_ = encoder;
    at.frames_ = chunk.frames, at.height_ = chunk.height, at.width_ = chunk.width;
    at.together_ = together == 0 ? at.frames_ : std::min<index_t>(together, at.frames_);
    at.fine = slab.opposite<T>(at.frames_, at.height_ / 2, at.width_ / 2, widths[1]);
    slab.advance(at.fine);
    const auto counted =
        EncoderFineRooms<T>::lay_out(encoder, at.together_, at.height_, at.width_, Pasts(at.keeps_pasts()));
    at.past_bytes_ = counted.past_bytes, at.slab_bytes_ = counted.bytes;
    at.memory_ = slab.opposite_bytes(at.past_bytes_ + at.slab_bytes_);
    slab.keep_stream();

    const auto halved = [&](int level) {
      const VideoView<T> x = slab.stream<T>();
      return StreamVideo<T>::take(slab, enters_narrow(encoder.down, level + 1, x.channels, level < 2),
                                  (x.frames + 1) / 2, x.height / 2, x.width / 2, x.channels);
    };
    at.quartered = halved(1);
    at.level_2 = lay_out_level<T>(slab, none, encoder.down, 2, true);
    at.level_2_out = slab.stream<T>();
    at.eighthed = halved(2);
    at.level_3 = lay_out_level<T>(slab, none, encoder.down, 3, false);
    at.middle = MiddleRooms<T>::lay_out(slab, true);
    const VideoView<T>& x = at.last = slab.stream<T>();
    const index_t frames = (x.frames + 1) / 2, height = x.height / 2, width = x.width / 2;
    at.patches = slab.opposite<T>(frames, height, width, 8 * encoder.patch_width);
    at.unshuffled = slab.beside<float>(frames, height, width, 8 * encoder.patch_width);
    at.narrow = slab.beside<float>(encoder.patch_width);
    slab.advance(at.patches);
    at.moments = slab.opposite<float>(2 * config.latent_channels);
    slab.ask_scratch(counted.scratch.or_more(NormScratch::of(at.last)));
    at.bytes = slab.peak_bytes();
    at.scratch = slab.scratch();
    return at;
  }

  index_t together() const { return together_; }
  bool keeps_pasts() const { return together_ < frames_; }
  /// The run of the frames [first, first + count), whose results come into `fine`.
  EncoderFineRooms<T> run(index_t first, index_t count) const {
    const Pasts pasts(keeps_pasts(), memory_);
    const StreamSlab slab =
        memory_ == nullptr ? StreamSlab() : StreamSlab(memory_ + past_bytes_, slab_bytes_);
    auto at = EncoderFineRooms<T>::lay_out(encoder_, count, height_, width_, pasts, slab);
    (at.level_1.empty() ? at.halved : at.level_1.back().out).narrow = frames_of(fine, first, count);
    return at;
  }

 private:
  VaeConfig::Encoder encoder_;
  index_t frames_ = 0, height_ = 0, width_ = 0, together_ = 0;
  std::byte* memory_ = nullptr;
  std::size_t past_bytes_ = 0, slab_bytes_ = 0;
};

}  // namespace stepvideo::model::vae
