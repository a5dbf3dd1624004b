// How GroupNorm's work is split among the blocks and threads of the GPU.
#pragma once
#include <algorithm>

#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// How the GPU splits a frame: into parts of whole pixels, each a block's in the moments' pass. A thread
/// keeps to the same `vector` channels. Shares of the copy's bandwidth are in docs/tuning.md.
struct GroupNormTiling {
  static constexpr int threads = 256;
  /// Loads of a thread before the first use.
  static constexpr int moments_in_flight = 4, scaling_in_flight = 6;
  /// Blocks of the moments that share a multiprocessor, which bounds the registers.
  static constexpr int moments_blocks = 5;
  /// What an H200 works on at once: one wave does the moments where a block's elements then lie in these
  /// bounds.
  static constexpr index_t wave = 132 * moments_blocks, least_elements = 1 << 14, most_elements = 1 << 17;
  /// Blocks of the scaling to a part: small ones end together.
  static constexpr unsigned sections = 5;

  index_t pixels, channels, parts, part_pixels;
  int vectors;  ///< of channels, in a block
  int rows;     ///< pixels that a block takes at once
  int chunks;   ///< of channels, each a block

  /// Depends on the shape alone, so that sums have one order on every GPU.
  template <class T>
  static GroupNormTiling of(const VideoView<T>& in, int vector) {
    GroupNormTiling tiling{};
    tiling.pixels = in.height * in.width, tiling.channels = in.channels;
    const index_t parts_of_wave = std::max<index_t>(1, wave / in.frames);
    tiling.part_pixels =
        std::clamp(divide_up(tiling.pixels, parts_of_wave), divide_up(least_elements, in.channels),
                   divide_up(most_elements, in.channels));
    tiling.parts = divide_up(tiling.pixels, tiling.part_pixels);
    const auto all_vectors = static_cast<int>(divide_up(in.channels, vector));
    tiling.vectors = std::min(all_vectors, threads);
    tiling.rows = threads / tiling.vectors;
    tiling.chunks = static_cast<int>(divide_up(all_vectors, tiling.vectors));
    return tiling;
  }
  /// What moments are kept of: groups, unless they are long or spread over blocks; then channels.
  index_t units(index_t groups) const {
    constexpr index_t longest_group = 32;
    return chunks == 1 && channels / groups <= longest_group ? groups : channels;
  }
  /// Whole warps; what is left over has no pixels.
  unsigned block_threads() const {
    constexpr int warp = 32;
    return static_cast<unsigned>(divide_up(vectors * rows, warp) * warp);
  }
  index_t blocks(index_t frames) const { return frames * parts * chunks; }

 private:
  static constexpr index_t divide_up(index_t a, index_t b) { return (a + b - 1) / b; }
};

/// Where a thread works.
struct GroupNormPlace {
  index_t frame, part, first_pixel, end_pixel;
  int channel, row;

  /// In block `block` of the moments' pass, which has a part.
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

  /// In block `block` of the scaling, of `blocks` parts in all: a section of a part, in the reverse order of
  /// the moments' reads, whose last are still in the cache. The blocks of a wave read side by side, so that
  /// is the last section of each of the last wave's parts, then the one before.
  static __device__ GroupNormPlace of_section(const GroupNormTiling& tiling, unsigned block, unsigned blocks,
                                              int vector) {
    constexpr unsigned wave = GroupNormTiling::wave, sections = GroupNormTiling::sections;
    const unsigned waves_after = block / (wave * sections), end = blocks - waves_after * wave;
    const unsigned in_wave = end < wave ? end : wave, at = block % (wave * sections);
    auto place = of(tiling, end - in_wave + at % in_wave, vector);
    const index_t pixels = (tiling.part_pixels + sections - 1) / sections;
    place.first_pixel += (sections - 1 - at / in_wave) * pixels;
    if (place.first_pixel + pixels < place.end_pixel) place.end_pixel = place.first_pixel + pixels;
    return place;
  }

  __device__ bool has_work(const GroupNormTiling& tiling) const {
    return channel < tiling.channels && row < tiling.rows;
  }

  /// Calls use(load(pixel), pixel) for the thread's pixels; `in_flight` loads come before the first use.
  template <int in_flight, class Load, class Use>
  __device__ void for_each_pixel(const GroupNormTiling& tiling, Load&& load, Use&& use) const {
    index_t pixel = first_pixel + row;
    const index_t stride = tiling.rows, ahead = (in_flight - 1) * stride;
    for (; pixel + ahead < end_pixel; pixel += in_flight * stride) {
      decltype(load(pixel)) packs[in_flight];
#pragma unroll
      for (int i = 0; i < in_flight; ++i) packs[i] = load(pixel + i * stride);
#pragma unroll
      for (int i = 0; i < in_flight; ++i) use(packs[i], pixel + i * stride);
    }
    for (; pixel < end_pixel; pixel += stride) use(load(pixel), pixel);
  }
};

}  // namespace stepvideo
