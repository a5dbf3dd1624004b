// A decoded chunk as it leaves for the host.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>

#include <stepvideo/core/shape.hpp>

#include "io/pixel_format.hpp"
#include "model/vae_deal.hpp"

namespace stepvideo::model {

/// What a chunk leaves in the host's memory. Whoever decodes all chunks of a video joins their seams: the
/// last frame of a chunk comes with the next one. Where chunks are dealt to several, the frames at a seam are
/// left as floats, for who has both.
struct DecodedChunk {
  int number = 0;                      ///< in its video
  PixelFrames<std::uint8_t> frames{};  ///< as the writer asked for them
  /// The chunk's first and last frame as FloatPixels, where a seam is to be joined there; else no frames.
  PixelFrames<std::uint8_t> front{}, back{};
  VectorView<std::uint8_t> memory{};  ///< all of it
};

/// Where a chunk's frames lie.
struct DecodedChunkRooms {
  VideoShape video{};
  vae::ChunkDeal deal{};
  io::PixelFormat format{};

  bool leaves_seams() const { return deal.stride > 1; }
  bool has_before(int number) const { return number > 0; }
  bool has_behind(int number) const { return number + 1 < video.chunks(); }

  /// In `memory`; without it, what it takes.
  DecodedChunk lay_out(int number, std::uint8_t* memory = nullptr) const {
    const index_t before = has_before(number), behind = has_behind(number),
                  own = video.is_image() ? 1 : VideoShape::chunk_frames;
    std::size_t bytes = 0;
    const auto take = [&](const io::PixelFormat& as, index_t frames) {
      return io::take_pixels(memory, bytes, as, frames, video.height, video.width);
    };
    DecodedChunk chunk{.number = number};
    chunk.frames = take(format, leaves_seams() ? own - before - behind : own + before - behind);
    chunk.front = take(FloatPixels{}, leaves_seams() ? before : 0);
    chunk.back = take(FloatPixels{}, leaves_seams() ? behind : 0);
    chunk.memory = {memory, static_cast<index_t>(bytes)};
    return chunk;
  }
  /// What each chunk of the deal has room in.
  std::size_t most_bytes() const {
    index_t most = 0;
    for (int number = deal.first; number < video.chunks(); number += deal.stride)
      most = std::max(most, lay_out(number).memory.size);
    return static_cast<std::size_t>(most);
  }
};

using OnFrames = std::function<void(const io::ReadyFrames&)>;
using OnChunk = std::function<void(const DecodedChunk&)>;

}  // namespace stepvideo::model
