// The memory that the video VAE's layers work in: for each layer one function that says which videos it
// needs, and one for the decoder and the encoder that follows the network with them. The executor takes its
// views from these functions and the plan counts with the same ones.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>

#include "model/vae_config.hpp"

namespace stepvideo::model::vae {

/// A slab of memory with two ends, and the stream of a network that goes through it. The stream's video lies
/// at one end. A layer takes what it needs beside it or at the opposite end; a result that takes over from
/// its input is the first thing taken there, and the ends change roles. Without memory it counts: its videos
/// have extents and no data, and peak_bytes() is the slab it takes.
class StreamSlab {
 public:
  StreamSlab() = default;
  StreamSlab(std::byte* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}

  const VideoView<float>& stream() const { return stream_; }
  std::size_t peak_bytes() const { return peak_; }

  /// A video of these extents on the stream's side.
  template <Element T>
  VideoView<T> beside(index_t frames, index_t height, index_t width, index_t channels) {
    return take<T>(side_, {nullptr, frames, height, width, channels});
  }
  template <Element T>
  VideoView<T> opposite(index_t frames, index_t height, index_t width, index_t channels) {
    return take<T>(1 - side_, {nullptr, frames, height, width, channels});
  }
  /// The same with the stream's frames, height and width.
  template <Element T>
  VideoView<T> beside(index_t channels) {
    return beside<T>(stream_.frames, stream_.height, stream_.width, channels);
  }
  template <Element T>
  VideoView<T> opposite(index_t channels) {
    return opposite<T>(stream_.frames, stream_.height, stream_.width, channels);
  }

  /// Gives back everything but the stream's video.
  void keep_stream() {
    used_[side_] = stream_bytes_;
    used_[1 - side_] = 0;
  }
  /// `video`, the first taken at the opposite end, becomes the stream; everything else is given back.
  void advance(VideoView<float> video) {
    side_ = 1 - side_;
    stream_ = video;
    stream_bytes_ = workspace_bytes<float>(video.size());
    keep_stream();
  }

 private:
  template <Element T>
  VideoView<T> take(int side, VideoView<T> video) {
    const std::size_t bytes = workspace_bytes<T>(video.size());
    const std::size_t first = used_[side];
    used_[side] += bytes;
    peak_ = std::max(peak_, used_[0] + used_[1]);
    if (memory_ == nullptr) return video;
    require(peak_ <= bytes_, [&] {
      return "the VAE's slab has " + std::to_string(bytes_) + " bytes and " + std::to_string(peak_) +
             " are taken from it; count it for the same chunk and element";
    });
    std::byte* const place = side == 0 ? memory_ + first : memory_ + bytes_ - used_[side];
    video.data = reinterpret_cast<T*>(place);
    return video;
  }

  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0, peak_ = 0;
  VideoView<float> stream_{};
  std::size_t stream_bytes_ = 0;
  std::array<std::size_t, 2> used_{};
  int side_ = 0;
};

/// A residual block reads `in` and leaves `out`, which is `in` where no width changes, and else `hidden`'s
/// memory. x and what a norm reads are float32 for every T; what a norm hands to a convolution is T. (With x
/// in bf16 its roundings add up to 1.5e-2 over the encoder; so they stay below 7e-3.)
template <Element T>
struct ResidualRooms {
  VideoView<float> in{}, hidden{}, out{};
  VideoView<T> normed_in{}, normed{};

  static ResidualRooms lay_out(StreamSlab& slab, index_t out_channels) {
    const VideoView<float> in = slab.stream();
    ResidualRooms at{.in = in, .hidden = slab.opposite<float>(out_channels), .out = in};
    // The two normed videos take turns.
    const VideoView<T> wider = slab.beside<T>(std::max(in.channels, out_channels));
    const auto narrowed = [&](index_t channels) {
      VideoView<T> video = wider;
      video.channels = channels;
      return video;
    };
    at.normed_in = narrowed(in.channels);
    at.normed = narrowed(out_channels);
    if (in.channels == out_channels) {
      slab.keep_stream();
    } else {
      at.out = at.hidden;
      slab.advance(at.out);
    }
    return at;
  }
};

/// Adds to `stream` in place.
template <Element T>
struct AttentionRooms {
  VideoView<float> stream{}, packed{},
      attended{};  ///< packed: queries, keys, values side by side in each pixel
  VideoView<T> normed{};

  static AttentionRooms lay_out(StreamSlab& slab) {
    const index_t channels = slab.stream().channels;
    AttentionRooms at{.stream = slab.stream(),
                      .packed = slab.opposite<float>(3 * channels),
                      .attended = slab.beside<float>(channels)};
    // Attention's result comes after the last reader of what was normed.
    static_assert(sizeof(T) <= sizeof(float));
    const auto& a = at.attended;
    at.normed = {reinterpret_cast<T*>(a.data), a.frames, a.height, a.width, a.channels};
    slab.keep_stream();
    return at;
  }
};

/// The middle of both networks.
template <Element T>
struct MiddleRooms {
  ResidualRooms<T> block_1;
  AttentionRooms<T> attention;
  ResidualRooms<T> block_2;

  static MiddleRooms lay_out(StreamSlab& slab) {
    const index_t width = slab.stream().channels;
    MiddleRooms at;
    at.block_1 = ResidualRooms<T>::lay_out(slab, width);
    at.attention = AttentionRooms<T>::lay_out(slab);
    at.block_2 = ResidualRooms<T>::lay_out(slab, width);
    return at;
  }
};

/// The residual blocks of one level.
template <Element T>
std::vector<ResidualRooms<T>> lay_out_level(StreamSlab& slab, const VaeConfig::Levels& levels, int level) {
  std::vector<ResidualRooms<T>> blocks;
  for (int block = 0; block < levels.blocks[level]; ++block)
    blocks.push_back(ResidualRooms<T>::lay_out(slab, levels.widths[level]));
  return blocks;
}

/// A doubling of frames, rows and columns: `out` is hidden's memory.
template <Element T>
struct VolumeUpsampleRooms {
  VideoView<float> in, out;
  VideoView<T> normed;

  static VolumeUpsampleRooms lay_out(StreamSlab& slab) {
    const VideoView<float> in = slab.stream();
    const auto doubled = [&](auto&& take) {
      return take(2 * in.frames, 2 * in.height, 2 * in.width, in.channels);
    };
    VolumeUpsampleRooms at{.in = in,
                           .out = doubled([&](auto... extents) { return slab.opposite<float>(extents...); }),
                           .normed = doubled([&](auto... extents) { return slab.beside<T>(extents...); })};
    slab.advance(at.out);
    return at;
  }
};

/// Everything that one decoded chunk is made in.
template <Element T>
struct DecoderRooms {
  /// Time was doubled twice without its past: so many first frames are no part of the video.
  static constexpr int skipped_frames = 3;

  VideoView<float> latents, repeated, stem, patches, shuffled;
  MiddleRooms<T> middle;
  std::array<std::vector<ResidualRooms<T>>, VaeConfig::levels> levels;
  std::array<VolumeUpsampleRooms<T>, 2> volume_upsamples;  ///< of levels 2 and 3
  VideoView<float> narrow, widened;                        ///< level 1's rows and columns, doubled
  VideoView<float> last;                                   ///< what the last norm reads
  VideoView<T> normed;
  VideoView<float> pixels;
  std::size_t bytes = 0;

  /// `chunk`: one latent frame (an image) or three, of `config`'s channels. In a slab without memory, counts.
  static DecoderRooms lay_out(const VaeConfig& config, LatentShape chunk, StreamSlab slab = {}) {
    const auto& decoder = config.decoder;
    const index_t frames = chunk.frames, height = chunk.height, width = chunk.width;
    DecoderRooms at;
    at.latents = slab.opposite<float>(frames, height, width, config.latent_channels);
    slab.advance(at.latents);
    at.stem = slab.opposite<float>(decoder.stem_width);
    at.repeated = slab.beside<float>(decoder.stem_width);
    slab.advance(at.stem);
    at.shuffled = slab.opposite<float>(2 * frames - 1, 2 * height, 2 * width, decoder.mid_width);
    at.patches = slab.beside<float>(8 * decoder.mid_width);
    slab.advance(at.shuffled);
    at.middle = MiddleRooms<T>::lay_out(slab);
    for (int level = VaeConfig::levels - 1; level >= 0; --level) {
      at.levels[level] = lay_out_level<T>(slab, decoder.up, level);
      if (level >= 2) at.volume_upsamples[level - 2] = VolumeUpsampleRooms<T>::lay_out(slab);
      if (level == 1) {
        at.narrow = slab.stream();
        const VideoView<float>& x = at.narrow;
        at.widened = slab.opposite<float>(x.frames, 2 * x.height, 2 * x.width, x.channels);
        slab.advance(at.widened);
      }
    }
    at.last = slab.stream();
    at.normed = slab.beside<T>(at.last.channels);
    at.pixels = slab.opposite<float>(at.last.frames - skipped_frames, at.last.height, at.last.width, 3);
    at.bytes = slab.peak_bytes();
    return at;
  }
};

/// Everything that one encoded chunk is made in.
template <Element T>
struct EncoderRooms {
  VideoView<float> stem;
  std::array<std::vector<ResidualRooms<T>>, VaeConfig::levels> levels;
  /// After levels 0, 1, 2.
  std::array<VideoView<float>, VaeConfig::levels - 1> whole, halved;
  MiddleRooms<T> middle;
  VideoView<float> last, narrow, patches, moments;
  std::size_t bytes = 0;

  /// `chunk`: one frame or 17, on the latents' grid. In a slab without memory, counts.
  static EncoderRooms lay_out(const VaeConfig& config, VideoShape chunk, StreamSlab slab = {}) {
    const auto& encoder = *config.encoder;
    EncoderRooms at;
    at.stem = slab.opposite<float>(chunk.frames, chunk.height, chunk.width, encoder.stem_width);
    slab.advance(at.stem);
    for (int level = 0; level < VaeConfig::levels; ++level) {
      at.levels[level] = lay_out_level<T>(slab, encoder.down, level);
      if (level == VaeConfig::levels - 1) continue;
      // Level 0 halves height and width; levels 1 and 2 halve time as well, (n + 1) / 2 frames remain.
      const VideoView<float> x = at.whole[level] = slab.stream();
      at.halved[level] = slab.opposite<float>(level == 0 ? x.frames : (x.frames + 1) / 2, x.height / 2,
                                              x.width / 2, x.channels);
      slab.advance(at.halved[level]);
    }
    at.middle = MiddleRooms<T>::lay_out(slab);
    at.last = slab.stream();
    const VideoView<float>& x = at.last;
    at.patches = slab.opposite<float>((x.frames + 1) / 2, x.height / 2, x.width / 2, 8 * encoder.patch_width);
    at.narrow = slab.beside<float>(encoder.patch_width);
    slab.advance(at.patches);
    at.moments = slab.opposite<float>(2 * config.latent_channels);
    at.bytes = slab.peak_bytes();
    return at;
  }
};

}  // namespace stepvideo::model::vae
