// Which pixels and channels are a thread's in GroupNorm's passes.
#pragma once
#include <stepvideo/core/nvcc.cuh>
#include <stepvideo/kernels/norm/group_norm_tiling.hpp>

namespace stepvideo {

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
