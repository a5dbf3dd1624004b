// The memory that the video VAE's layers work in: for each layer one function that says which videos it
// needs. vae_decoder_rooms.hpp and vae_encoder_rooms.hpp follow the networks with them. The executor takes
// its views from these functions and the plan counts with the same ones.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <vector>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>

#include "model/causal_attention_bands.hpp"
#include "model/stream_slab.hpp"
#include "model/vae_config.hpp"

namespace stepvideo::model::vae {

/// The stream between two layers: float32 where residual blocks add to it, T where none does. (With all of it
/// in bf16 its roundings add up to 1.5e-2 over the encoder.) One of the two has frames.
template <Element T>
struct StreamVideo {
  VideoView<float> wide{};
  VideoView<T> narrow{};

  bool is_narrow() const { return narrow.frames > 0; }
  /// function(the one that it is)
  template <class Function>
  void visit(Function&& function) const {
    if (is_narrow())
      function(narrow);
    else
      function(wide);
  }
  /// `slab`'s stream.
  static StreamVideo of(const StreamSlab& slab, bool is_narrow) {
    if (is_narrow) return {.narrow = slab.stream<T>()};
    return {.wide = slab.stream<float>()};
  }
  /// Of these extents, and from now on the slab's stream.
  static StreamVideo take(StreamSlab& slab, bool is_narrow, index_t frames, index_t height, index_t width,
                          index_t channels) {
    StreamVideo video;
    if (is_narrow)
      video.narrow = slab.opposite<T>(frames, height, width, channels);
    else
      video.wide = slab.opposite<float>(frames, height, width, channels);
    video.visit([&](auto taken) { slab.advance(taken); });
    return video;
  }
};

/// A residual block. Where it changes the width, its input is T, which its shortcut reads, and the sum has
/// memory of its own; else the input is float32 and the sum takes its place. The result is the sum, or T
/// where no residual block comes next. What lies between norms and convolutions is T, and N, T or fp8,
/// between a norm and the convolution behind it.
template <Element T, Element N = T>
struct ResidualRooms {
  StreamVideo<T> in, out;
  VideoView<float> sum;  ///< what the second convolution's result is added to
  VideoView<T> hidden;
  VideoView<N> normed_in, normed;
  VideoView<N> past_in, past;  ///< of the two convolutions

  bool has_shortcut() const { return in.is_narrow(); }

  static ResidualRooms lay_out(StreamSlab& slab, Pasts& pasts, index_t out_channels, bool leaves_narrow) {
    const index_t in_channels = slab.channels();
    const bool changes_width = in_channels != out_channels;
    ResidualRooms at;
    at.in = StreamVideo<T>::of(slab, changes_width);
    if (changes_width) {
      if (leaves_narrow) at.out.narrow = slab.opposite<T>(out_channels);
      at.sum = slab.opposite<float>(out_channels);
      at.hidden = recast<T>(at.sum, out_channels);  // read for the last time before the shortcut is written
      if (!leaves_narrow) at.out.wide = at.sum;
    } else {
      at.hidden = slab.opposite<T>(out_channels);
      at.sum = at.in.wide;
      // The second convolution comes after the last reader of what the first made.
      if (leaves_narrow)
        at.out.narrow = at.hidden;
      else
        at.out.wide = at.sum;
    }
    // The two normed videos take turns.
    const auto wider = slab.beside_behind<N>(pasts.frames(), std::max(in_channels, out_channels));
    at.normed_in = taking_turns(wider, pasts.frames(), in_channels);
    at.normed = taking_turns(wider, pasts.frames(), out_channels);
    at.past_in = pasts.take<N>(wider.height, wider.width, in_channels);
    at.past = pasts.take<N>(wider.height, wider.width, out_channels);
    slab.ask_scratch(NormScratch::of(at.normed_in).or_more(NormScratch::of(at.normed)));
    if (leaves_narrow)
      slab.advance(at.out.narrow);
    else if (changes_width)
      slab.advance(at.sum);
    else
      slab.keep_stream();
    return at;
  }

 private:
  /// `channels` of a room that has enough for more, as `front` frames before it have.
  static VideoView<N> taking_turns(VideoView<N> wider, index_t front, index_t channels) {
    VideoView<N> video = wider;
    video.channels = channels;
    if (video.data != nullptr) video.data -= front * video.height * video.width * (wider.channels - channels);
    return video;
  }
};

/// One head of attention. Adds to `stream` in place.
template <Element T>
struct AttentionRooms {
  VideoView<float> stream{};
  VideoView<T> packed{}, attended{};  ///< packed: queries, keys, values side by side in each pixel
  VideoView<T> normed{};
  Workspace workspace{};  ///< of a GPU's attention

  static AttentionRooms lay_out(StreamSlab& slab) {
    const index_t channels = slab.channels();
    AttentionRooms at{.stream = slab.stream<float>(),
                      .packed = slab.opposite<T>(3 * channels),
                      .attended = slab.beside<T>(channels)};
    const std::size_t bytes = CausalAttentionBands(at.stream.pixels(), channels).workspace_bytes(sizeof(T));
    at.workspace = Workspace(slab.opposite_bytes(bytes), bytes);
    slab.ask_scratch(NormScratch::of(at.stream));
    at.normed = at.attended;  // attention's result comes after the last reader of what was normed
    slab.keep_stream();
    return at;
  }
};

/// The middle of both networks. Its input is float32.
template <Element T, Element N = T>
struct MiddleRooms {
  ResidualRooms<T, N> block_1;
  AttentionRooms<T> attention;
  ResidualRooms<T, N> block_2;

  static MiddleRooms lay_out(StreamSlab& slab, bool leaves_narrow) {
    const index_t width = slab.channels();
    Pasts pasts;
    MiddleRooms at;
    at.block_1 = ResidualRooms<T, N>::lay_out(slab, pasts, width, false);
    at.attention = AttentionRooms<T>::lay_out(slab);
    at.block_2 = ResidualRooms<T, N>::lay_out(slab, pasts, width, leaves_narrow);
    return at;
  }
};

/// Whether a level takes T from a stream of `channels`: its first block does where it changes the width, and
/// a level without blocks passes on what it leaves.
inline bool enters_narrow(const VaeConfig::Levels& levels, int level, index_t channels,
                          bool leaves_narrow = true) {
  return levels.blocks[level] == 0 ? leaves_narrow : channels != levels.widths[level];
}

/// The residual blocks of one level, behind which `leaves_narrow` says what the last one leaves.
template <Element T, Element N = T>
std::vector<ResidualRooms<T, N>> lay_out_level(StreamSlab& slab, Pasts& pasts,
                                               const VaeConfig::Levels& levels, int level,
                                               bool leaves_narrow) {
  std::vector<ResidualRooms<T, N>> blocks;
  for (int block = 0; block < levels.blocks[level]; ++block) {
    const bool is_last = block + 1 == levels.blocks[level];
    blocks.push_back(
        ResidualRooms<T, N>::lay_out(slab, pasts, levels.widths[level], is_last && leaves_narrow));
  }
  return blocks;
}

/// A doubling of frames, rows and columns of `in`.
template <Element T, Element N = T>
struct VolumeUpsampleRooms {
  VideoView<T> in, hidden;
  VideoView<N> normed;
  StreamVideo<T> out;
  VideoView<N> past;  ///< of the second convolution; the first one's lies before in

  static VolumeUpsampleRooms lay_out(StreamSlab& slab, Pasts& pasts, VideoView<T> in, bool leaves_narrow) {
    const index_t frames = 2 * in.frames, height = 2 * in.height, width = 2 * in.width;
    VolumeUpsampleRooms at;
    at.in = in;
    // The last norm writes where it reads, unless its result is wider.
    const bool widens = !leaves_narrow && !std::same_as<T, float>;
    if (widens) at.out.wide = slab.opposite<float>(frames, height, width, in.channels);
    at.hidden = slab.opposite<T>(frames, height, width, in.channels);
    if (leaves_narrow)
      at.out.narrow = at.hidden;
    else if (!widens)
      at.out.wide = recast<float>(at.hidden, in.channels);
    at.normed = frames_of(slab.beside<N>(pasts.frames() + frames, height, width, in.channels), pasts.frames(),
                          frames);
    at.past = pasts.take<N>(height, width, in.channels);
    slab.ask_scratch(NormScratch::of(at.normed));
    at.out.visit([&](auto out) { slab.advance(out); });
    return at;
  }
};

}  // namespace stepvideo::model::vae
