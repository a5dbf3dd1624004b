// What a convolution leaves for the GroupNorm of its result: the moments of each part of a frame, gathered
// while the results are in registers.
#pragma once
#include <stepvideo/kernels/conv/warpgroup_conv_pipeline.cuh>
#include <stepvideo/kernels/tile/barrier.cuh>
#include <stepvideo/kernels/tile/part_moments.hpp>

namespace stepvideo {

/// The moments of `vector` channels over the pixels that a lane finishes of one tile, taken relative to the
/// first of them, so that means far from zero keep their digits.
template <int vector>
class LaneMoments {
 public:
  __device__ void add(const float (&values)[vector]) {
#pragma unroll
    for (int i = 0; i < vector; ++i) {
      if (count_ == 0) first_[i] = values[i], sums_[i] = squares_[i] = 0;
      const float difference = values[i] - first_[i];
      sums_[i] += difference;
      squares_[i] = fmaf(difference, difference, squares_[i]);
    }
    count_ += 1;
  }
  __device__ PartMoments of(int i) const {
    if (count_ == 0) return {};
    const float offset = sums_[i] / count_;
    return {count_, first_[i] + offset, fmaxf(squares_[i] - sums_[i] * offset, 0.0f)};
  }

 private:
  float count_ = 0, first_[vector], sums_[vector], squares_[vector];
};

/// How the lanes of a warp share its lines: `lanes` of them have a pixel, `vector` channels each.
template <class Policy, int vector_elements>
struct LineLanes {
  static constexpr int vector = vector_elements, lanes = Policy::columns / vector;
  static constexpr int pixels_at_once = 32 / lanes < Policy::piece ? 32 / lanes : Policy::piece;
  static constexpr int steps = Policy::piece / pixels_at_once;

  static __device__ int first_pixel() { return threadIdx.x % 32 / lanes; }
  static __device__ int column() { return threadIdx.x % 32 % lanes * vector; }
};

/// Joins what a warpgroup's lanes have gathered of a tile: first each channel, then the units. `shared.lines`
/// are free; all threads of the warpgroup call it.
template <class Lanes, class Policy>
__device__ void store_moments(WarpgroupConvShared<Policy>& shared, int consumer,
                              const LaneMoments<Lanes::vector>& lane, const ConvTiling& tiling,
                              const ConvTile& tile, int frame, int channels, const PartMomentsView& moments) {
  constexpr int warps = Policy::warpgroup / 32, columns = Policy::columns;
  static_assert(sizeof(PartMoments) * Lanes::pixels_at_once * columns <= sizeof(shared.lines[0]));
  const auto of_warp = [&](int warp) {
    return reinterpret_cast<PartMoments*>(shared.lines[consumer * warps + warp]);
  };
  const int thread = threadIdx.x % Policy::warpgroup;
  PartMoments* mine = of_warp(thread / 32) + Lanes::first_pixel() * columns + Lanes::column();
  __syncwarp();
#pragma unroll
  for (int i = 0; i < Lanes::vector; ++i) mine[i] = lane.of(i);
  named_barrier_wait(1 + consumer, Policy::warpgroup);
  static_assert(columns == Policy::warpgroup, "a thread has a channel");
  PartMoments of_channel{};
  for (int warp = 0; warp < warps; ++warp)
    for (int pixel = 0; pixel < Lanes::pixels_at_once; ++pixel)
      join(of_channel, of_warp(warp)[pixel * columns + thread]);
  shared.channel_moments[consumer][thread] = of_channel;
  named_barrier_wait(1 + consumer, Policy::warpgroup);
  const int unit_channels = channels / static_cast<int>(moments.units), first = thread * unit_channels;
  if (first >= columns || tile.channel + first >= channels) return;
  PartMoments of_unit{};
  for (int i = 0; i < unit_channels; ++i) join(of_unit, shared.channel_moments[consumer][first + i]);
  moments.of(frame, tiling.part(tile) * Policy::consumers + consumer)[tile.channel / unit_channels + thread] =
      of_unit;
}

}  // namespace stepvideo
