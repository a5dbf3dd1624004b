// The memory that a decoded chunk is made in.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include <stepvideo/core/shape.hpp>

#include "model/vae_rooms.hpp"

namespace stepvideo::model::vae {

/// How many frames go through the levels behind the last doubling of time together. Where that is not all of
/// them, each convolution there keeps its last two input frames for the next run. `fine` frames of the
/// video's resolution come of `coarse` frames before the doubling, at a time.
struct DecoderRuns {
  index_t coarse_frames = 0;  ///< of the chunk, before the last doubling of time
  index_t coarse = 0, fine = 0;

  index_t fine_frames() const { return 2 * coarse_frames; }
  bool keeps_coarse() const { return coarse < coarse_frames; }
  bool keeps_fine() const { return fine < fine_frames(); }

  /// `together` of the finest frames at a time, 0 for all.
  static DecoderRuns of(index_t coarse_frames, index_t together = 0) {
    DecoderRuns runs{.coarse_frames = coarse_frames};
    if (together == 0) together = runs.fine_frames();
    runs.coarse = std::clamp<index_t>(together / 2, 1, runs.coarse_frames);
    runs.fine = std::min(together, 2 * runs.coarse);
    return runs;
  }
};

/// Level 0 and what comes behind it, for some of the finest frames.
template <Element T, Element N = T>
struct DecoderFineRooms {
  VideoView<T> narrow;     ///< level 1's result
  StreamVideo<T> widened;  ///< its rows and columns, doubled
  std::vector<ResidualRooms<T, N>> blocks;
  VideoView<T> last, normed, past;
  std::size_t bytes = 0, past_bytes = 0;
  NormScratch scratch;

  static DecoderFineRooms lay_out(const VaeConfig::Decoder& decoder, VideoView<T> narrow, Pasts pasts,
                                  StreamSlab slab = {}) {
    DecoderFineRooms at;
    at.narrow = narrow;
    const index_t height = 2 * narrow.height, width = 2 * narrow.width;
    at.widened = StreamVideo<T>::take(slab, enters_narrow(decoder.up, 0, narrow.channels), narrow.frames,
                                      height, width, narrow.channels);
    at.blocks = lay_out_level<T, N>(slab, pasts, decoder.up, 0, true);
    at.last = slab.stream<T>();
    at.normed = slab.beside_behind<T>(pasts.frames(), at.last.channels);
    at.past = pasts.take<T>(height, width, at.last.channels);
    slab.ask_scratch(NormScratch::of(at.last));
    at.scratch = slab.scratch();
    at.bytes = slab.peak_bytes();
    at.past_bytes = pasts.bytes();
    return at;
  }
};

/// From level 2's result to level 1's, for some frames before the last doubling of time.
template <Element T, Element N = T>
struct DecoderCoarseRooms {
  VolumeUpsampleRooms<T, N> upsample;
  std::vector<ResidualRooms<T, N>> blocks;  ///< level 1's
  VideoView<T> narrow;                      ///< its result
  StreamSlab fine;                          ///< where DecoderFineRooms lie
  std::size_t bytes = 0, past_bytes = 0;
  NormScratch scratch;

  static DecoderCoarseRooms lay_out(const VaeConfig::Decoder& decoder, VideoView<T> in, Pasts pasts,
                                    std::size_t fine_bytes, StreamSlab slab = {}) {
    DecoderCoarseRooms at;
    at.upsample =
        VolumeUpsampleRooms<T, N>::lay_out(slab, pasts, in, enters_narrow(decoder.up, 1, in.channels));
    at.blocks = lay_out_level<T, N>(slab, pasts, decoder.up, 1, true);
    at.narrow = slab.stream<T>();
    at.fine = StreamSlab(slab.opposite_bytes(fine_bytes), fine_bytes);
    at.scratch = slab.scratch();
    at.bytes = slab.peak_bytes();
    at.past_bytes = pasts.bytes();
    return at;
  }
};

/// What lies behind the last doubling of time: the pasts of its convolutions, then the slab that all runs
/// work in. Without memory its rooms have extents alone.
template <Element T, Element N = T>
class DecoderTail {
 public:
  DecoderTail() = default;
  DecoderTail(const VaeConfig::Decoder& decoder, const DecoderRuns& runs, VideoView<T> coarse)
      : decoder_(decoder), runs_(runs), coarse_(coarse) {
    VideoView<T> in = coarse,
                 narrow{nullptr, runs.fine, 2 * coarse.height, 2 * coarse.width, decoder.up.widths[1]};
    in.data = nullptr, in.frames = runs.coarse;
    const auto fine = DecoderFineRooms<T, N>::lay_out(decoder, narrow, Pasts(runs.keeps_fine()));
    const auto whole = DecoderCoarseRooms<T, N>::lay_out(decoder, in, Pasts(runs.keeps_coarse()), fine.bytes);
    fine_bytes_ = fine.bytes, fine_past_bytes_ = fine.past_bytes;
    scratch_ = fine.scratch.or_more(whole.scratch);
    slab_bytes_ = whole.bytes, coarse_past_bytes_ = whole.past_bytes;
  }

  const DecoderRuns& runs() const { return runs_; }
  std::size_t bytes() const { return coarse_past_bytes_ + fine_past_bytes_ + slab_bytes_; }
  const NormScratch& scratch() const { return scratch_; }
  void place_in(std::byte* memory) { memory_ = memory; }

  /// The run of `count` frames from `first` on of those before the doubling.
  DecoderCoarseRooms<T, N> coarse(index_t first, index_t count) const {
    return DecoderCoarseRooms<T, N>::lay_out(
        decoder_, frames_of(coarse_, first, count), Pasts(runs_.keeps_coarse(), memory_), fine_bytes_,
        memory_ == nullptr ? StreamSlab() : StreamSlab(at(fine_past_bytes_), slab_bytes_));
  }
  /// The run of `count` frames from `first` on of the result of `of`.
  DecoderFineRooms<T, N> fine(const DecoderCoarseRooms<T, N>& of, index_t first, index_t count) const {
    return DecoderFineRooms<T, N>::lay_out(decoder_, frames_of(of.narrow, first, count),
                                           Pasts(runs_.keeps_fine(), memory_ == nullptr ? nullptr : at(0)),
                                           of.fine);
  }

 private:
  /// `bytes` behind the coarse convolutions' pasts.
  std::byte* at(std::size_t bytes) const { return memory_ + coarse_past_bytes_ + bytes; }

  VaeConfig::Decoder decoder_;
  DecoderRuns runs_;
  VideoView<T> coarse_;
  std::byte* memory_ = nullptr;
  std::size_t coarse_past_bytes_ = 0, fine_past_bytes_ = 0, slab_bytes_ = 0, fine_bytes_ = 0;
  NormScratch scratch_;
};

/// Everything that one decoded chunk is made in.
template <Element T, Element N = T>
struct DecoderRooms {
  /// Time was doubled twice without its past: so many first frames are no part of the video.
  static constexpr int skipped_frames = 3;

  VideoView<T> latents, stem;
  VideoView<float> repeated, patches, shuffled;
  MiddleRooms<T, N> middle;
  std::vector<ResidualRooms<T, N>> level_3, level_2;
  VolumeUpsampleRooms<T, N> upsample_3;
  VideoView<T> coarse;  ///< level 2's result
  DecoderTail<T, N> tail;
  VideoView<float> pixels;
  VideoView<float> waiting;  ///< the last frame of a chunk, until the next one's first is known
  std::size_t bytes = 0;
  NormScratch scratch;

  /// `chunk`: one latent frame (an image) or three, of `config`'s channels; `together` of its finest frames
  /// at a time, 0 for all. In a slab without memory, counts.
  static DecoderRooms lay_out(const VaeConfig& config, LatentShape chunk, index_t together = 0,
                              StreamSlab slab = {}) {
    const auto& decoder = config.decoder;
    const index_t frames = chunk.frames, height = chunk.height, width = chunk.width;
    Pasts none;
    DecoderRooms at;
    at.waiting = slab.keep<float>(frames == 1 ? 0 : 1, VideoShape::pixels_per_latent * height,
                                  VideoShape::pixels_per_latent * width, 3);
    at.latents = slab.opposite<T>(frames, height, width, config.latent_channels);
    slab.advance(at.latents);
    at.stem = slab.opposite<T>(decoder.stem_width);
    at.repeated = slab.beside<float>(decoder.stem_width);
    slab.advance(at.stem);
    at.shuffled = slab.opposite<float>(2 * frames - 1, 2 * height, 2 * width, decoder.mid_width);
    at.patches = slab.beside<float>(8 * decoder.mid_width);
    slab.advance(at.shuffled);
    at.middle = MiddleRooms<T, N>::lay_out(slab, enters_narrow(decoder.up, 3, decoder.mid_width));
    at.level_3 = lay_out_level<T, N>(slab, none, decoder.up, 3, true);
    at.upsample_3 = VolumeUpsampleRooms<T, N>::lay_out(slab, none, slab.stream<T>(),
                                                       enters_narrow(decoder.up, 2, decoder.up.widths[3]));
    at.level_2 = lay_out_level<T, N>(slab, none, decoder.up, 2, true);
    const VideoView<T>& coarse = at.coarse = slab.stream<T>();
    const auto runs = DecoderRuns::of(coarse.frames, together);
    at.pixels =
        slab.opposite<float>(runs.fine_frames() - skipped_frames, 4 * coarse.height, 4 * coarse.width, 3);
    at.tail = DecoderTail<T, N>(decoder, runs, coarse);
    at.tail.place_in(slab.opposite_bytes(at.tail.bytes()));
    slab.ask_scratch(at.tail.scratch());
    at.bytes = slab.peak_bytes();
    at.scratch = slab.scratch();
    return at;
  }
};

}  // namespace stepvideo::model::vae
