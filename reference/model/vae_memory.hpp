// How much memory a chunk takes, and how many of its frames go together where it is to take less.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/shape.hpp>

#include "model/vae_decoder_rooms.hpp"
#include "model/vae_encoder_rooms.hpp"

namespace stepvideo::model::vae {

/// What a chunk may take of memory. Where no run of frames keeps to it, the least that works is taken, or the
/// request refused.
struct MemoryLimit {
  std::size_t bytes = std::numeric_limits<std::size_t>::max();
  bool refuses = false;

  /// What is taken without a word: on a GPU a third of what the release takes.
  static MemoryLimit usual(bool on_gpu) {
    return on_gpu ? MemoryLimit{.bytes = 6'500'000'000} : MemoryLimit{};
  }
  bool operator==(const MemoryLimit&) const = default;
};

/// What a chunk's rooms take of an execution's memory; a GPU's kernels ask for scratch beside them.
template <class Rooms>
std::size_t chunk_bytes(const Rooms& rooms, bool on_gpu) {
  return rooms.bytes + (on_gpu ? rooms.scratch.bytes() : 0);
}

/// Rooms in memory, and the scratch beside them, which the host's kernels do without.
template <class Rooms>
struct Placed {
  Rooms rooms;
  Workspace scratch, moments;
};

/// Lays out with `lay_out(StreamSlab)` in `memory`, which grows where it is too small.
template <Execution E, class LayOut>
auto place(E execution, Buffer<std::byte, E>& memory, const LayOut& lay_out) {
  const auto counted = lay_out(StreamSlab());
  const std::size_t bytes = chunk_bytes(counted, !std::same_as<E, Host>);
  if (bytes > memory.size_bytes()) {
    memory = {};  // the old memory goes before the new is asked for
    memory = Buffer<std::byte, E>(execution, static_cast<index_t>(bytes));
  }
  Placed placed{lay_out(StreamSlab(memory.data(), counted.bytes)), {}, {}};
  if constexpr (!std::same_as<E, Host>) {
    std::byte* const norms = memory.data() + counted.bytes;
    placed.scratch = Workspace(norms, counted.scratch.norms);
    placed.moments = Workspace(norms + counted.scratch.norms, counted.scratch.moments);
  }
  return placed;
}

/// The most frames, of `frames` that are dealt out to runs `step` at a time, with which `bytes_of(together)`
/// are within the limit: 0 for all of them, 1 as the last resort. Throws RequestError naming the least that
/// works where the limit refuses.
template <class BytesOf>
index_t frames_together(const char* half, index_t frames, index_t step, const MemoryLimit& limit,
                        const BytesOf& bytes_of) {
  std::size_t least = std::numeric_limits<std::size_t>::max();
  index_t best = 0;
  const auto fits = [&](index_t together) {
    const std::size_t bytes = bytes_of(together);
    if (bytes < least) least = bytes, best = together;
    return bytes <= limit.bytes;
  };
  if (fits(0)) return 0;
  for (index_t runs = 2; runs <= frames / step; ++runs) {
    const index_t together = step * ((frames / step + runs - 1) / runs);
    if (fits(together)) return together;
  }
  if (fits(1)) return 1;
  constexpr std::size_t megabyte = 1'000'000;
  require(!limit.refuses, [&] {
    const std::string needed = std::to_string((least + megabyte - 1) / megabyte);
    return "--vae-memory: the VAE's " + std::string(half) + " may take " +
           std::to_string(limit.bytes / megabyte) + " MB for a chunk of this size and needs " + needed +
           "; --vae-memory " + needed + "MB works, or a smaller video";
  });
  return best;
}

/// How many of a chunk's finest frames go together in the decoder; DecoderRooms::lay_out() takes it.
template <Element T, Element N = T>
index_t decoder_frames_together(const VaeConfig& config, LatentShape chunk, bool on_gpu,
                                const MemoryLimit& limit) {
  const index_t coarse = 2 * (2 * chunk.frames - 1);
  return frames_together("decoder", 2 * coarse, 2, limit, [&](index_t together) {
    return chunk_bytes(DecoderRooms<T, N>::lay_out(config, chunk, together), on_gpu);
  });
}

/// The same of the encoder.
template <Element T>
index_t encoder_frames_together(const VaeConfig& config, VideoShape chunk, bool on_gpu,
                                const MemoryLimit& limit) {
  return frames_together("encoder", chunk.frames, 1, limit, [&](index_t together) {
    return chunk_bytes(EncoderRooms<T>::lay_out(config, chunk, together), on_gpu);
  });
}

}  // namespace stepvideo::model::vae
