// How GroupNorm's work is split among the blocks and threads of the GPU.
#pragma once
#include <algorithm>

#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// How the GPU splits a frame: into parts of whole pixels. A thread keeps to the same `vector` channels.
struct GroupNormTiling {
  static constexpr int threads = 256;
  /// Loads of a thread before the first use, in the moments and in the scaling. Of the copy's bandwidth, bf16
  /// of 128, 256 and 512 channels: 93, 89 and 73 % with four and six; 86, 82 and 66 % with two and four.
  static constexpr int moments_in_flight = 4, scaling_in_flight = 6;
  /// A block's elements: enough for some microseconds, few enough for three waves of blocks where they can
  /// be.
  static constexpr index_t most_elements = 1 << 17, least_elements = 1 << 14, wanted_blocks = 1584;

  index_t pixels, channels, parts, part_pixels;
  int vectors;  ///< of channels, in a block
  int rows;     ///< pixels that a block takes at once
  int chunks;   ///< of channels, each a block

  /// Depends on the shape alone, so that sums have one order on every GPU.
  template <class T>
  static GroupNormTiling of(const VideoView<T>& in, int vector) {
    GroupNormTiling tiling{};
    tiling.pixels = in.height * in.width, tiling.channels = in.channels;
    const index_t elements = std::clamp(in.size() / wanted_blocks, least_elements, most_elements);
    tiling.part_pixels = std::max<index_t>(1, elements / in.channels);
    tiling.parts = (tiling.pixels + tiling.part_pixels - 1) / tiling.part_pixels;
    const int all_vectors = static_cast<int>((in.channels + vector - 1) / vector);
    tiling.vectors = std::min(all_vectors, threads);
    tiling.rows = threads / tiling.vectors;
    tiling.chunks = (all_vectors + tiling.vectors - 1) / tiling.vectors;
    return tiling;
  }
  /// What moments are kept of: groups, unless they are long or spread over blocks; then channels.
  index_t units(index_t groups) const {
    constexpr index_t longest_group = 32;
    return chunks == 1 && channels / groups <= longest_group ? groups : channels;
  }
  unsigned block_threads() const { return static_cast<unsigned>(vectors * rows); }
  unsigned grid(index_t frames) const { return static_cast<unsigned>(frames * parts * chunks); }
};

/// Where a thread of a (frames x parts x chunks) grid works.
struct GroupNormPlace {
  index_t frame, part, first_pixel, end_pixel;
  int channel, row;

  static __device__ GroupNormPlace of(const GroupNormTiling& tiling, unsigned block, int vector) {
    const unsigned chunk = block % tiling.chunks, slice = block / tiling.chunks;
    const auto parts = static_cast<unsigned>(tiling.parts);
    const unsigned frame = slice / parts, part = slice % parts, row = threadIdx.x / tiling.vectors;
    const index_t first = part * tiling.part_pixels, end = first + tiling.part_pixels;
    return {frame,
            part,
            first,
            end < tiling.pixels ? end : tiling.pixels,
            static_cast<int>((chunk * tiling.vectors + threadIdx.x % tiling.vectors) * vector),
            static_cast<int>(row)};
  }
};

}  // namespace stepvideo
