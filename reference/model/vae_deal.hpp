// How the chunks of a video are dealt to decoders: which chunks are whose, and how many decoders the memory
// holds.
#pragma once
#include <algorithm>

#include <stepvideo/core/shape.hpp>

#include "model/vae_memory.hpp"

namespace stepvideo::model::vae {

/// Every `stride`th chunk of a video from `first` on; the default is all of them.
struct ChunkDeal {
  int first = 0, stride = 1;
};

/// As few decoders of `most` as need no more turns: 2 of 3 for 4 chunks, which take two turns on either.
constexpr int decoders_for(int chunks, int most) {
  const int turns = (chunks + most - 1) / most;
  return (chunks + turns - 1) / turns;
}

/// What each of so many decoders of one host may take for a chunk: what was asked for is for each of them,
/// what the machine has is divided.
inline MemoryLimit limit_of_each(const MemoryLimit& limit, int decoders) {
  return limit.refuses ? limit : MemoryLimit{limit.bytes / static_cast<std::size_t>(decoders)};
}

/// The most decoders, `most` at the most, that a host's memory holds, 1 at least. `chunk_bytes(limit)` is
/// what a chunk takes under a limit, `weight_bytes` what a decoder has beside it.
template <class ChunkBytes>
int decoders_that_fit(int most, double memory_bytes, double weight_bytes, const MemoryLimit& limit,
                      const ChunkBytes& chunk_bytes) {
  for (int decoders = most; decoders > 1; --decoders) {
    const MemoryLimit of_each = limit_of_each(limit, decoders);
    const auto chunk = static_cast<double>(chunk_bytes(of_each));
    if (chunk <= static_cast<double>(of_each.bytes) && decoders * (weight_bytes + chunk) <= memory_bytes)
      return decoders;
  }
  return 1;
}

}  // namespace stepvideo::model::vae
