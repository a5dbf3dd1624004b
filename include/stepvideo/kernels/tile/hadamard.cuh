// The normalised Walsh-Hadamard transform of a row that lies in the registers of a few lanes.
#pragma once
#include <bit>
#include <cstdint>
#include <numbers>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/tile/hadamard.hpp>
#include <stepvideo/kernels/tile/mma_sync.cuh>

namespace stepvideo {

/// 1 / sqrt(size)
template <int size>
inline constexpr float hadamard_norm = [] {
  constexpr int bits = std::bit_width(unsigned{size}) - 1;
  return (bits % 2 ? float(std::numbers::sqrt2) / 2 : 1.0f) / float(1 << bits / 2);
}();

/// The row of lanes * count values whose index bits are shared out between the lane (of an aligned run of
/// `lanes`) and the place in `values`, in any order of bits: lane * count + i, or the vectors of 8 that lanes
/// take in turn. Every lane of the warp calls it. See hadamard() on the host for the matrix.
template <int lanes, int count>
__device__ void hadamard(float (&values)[count]) {
  constexpr int size = lanes * count;
  static_assert(has_hadamard(lanes) && has_hadamard(count) && lanes <= 32);
  constexpr float norm = hadamard_norm<size>;
#pragma unroll
  for (float& value : values) value *= norm;
#pragma unroll
  for (int stride = 1; stride < count; stride *= 2)
#pragma unroll
    for (int i = 0; i < count; ++i)
      if (!(i & stride)) {
        const float a = values[i], b = values[i + stride];
        values[i] = a + b;
        values[i + stride] = a - b;
      }
      // A butterfly is no reduction, so CUB has none.
#pragma unroll
  for (int stride = 1; stride < lanes; stride *= 2) {
    const float sign = threadIdx.x & stride ? -1.0f : 1.0f;
#pragma unroll
    for (float& value : values) value = fmaf(sign, value, __shfl_xor_sync(0xFFFFFFFFu, value, stride));
  }
}

/// values = sqrt(dim) times the transform of rows of two-byte elements that four neighbouring lanes have, two
/// rows in each lane: lane t has channels 32 v + 8 t to 32 v + 8 t + 7 in vectors[row][v], two in a word, and
/// gets the same ones. The tensor cores do the four bits that lie between the lanes and within a word,
/// which for 75,888 x 48 x 128 queries and keys takes 0.18 ms where the shuffling form took 0.25.
template <class T, int count>
__device__ void hadamard_by_products(const std::uint32_t (&vectors)[2][count][4],
                                     float (&values)[2][8 * count]) {
  // One column's signs at rows 2 t and 2 t + 1: depth is [bit 1 | bits 4, 3 | bit 0] of the channel.
  const unsigned lane = threadIdx.x % 32, column = lane / 4;
  const unsigned sign = std::popcount(lane % 4 & column / 2) & 1;
  const std::uint32_t one = std::uint32_t{T(1.0f).bits} * 0x10001u;
  const std::uint32_t same = one ^ sign * 0x8000'8000u ^ (column & 1) * 0x8000'0000u,
                      opposite = same ^ 0x8000'8000u;
#pragma unroll
  for (int v = 0; v < count; ++v)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto &first = vectors[0][v], &second = vectors[1][v];
      const MmaFragment rows{{first[2 * half], second[2 * half], first[2 * half + 1], second[2 * half + 1]}};
      float low[4] = {}, high[4] = {};
      multiply_add<T>(low, rows, same, same);
      multiply_add<T>(high, rows, same, opposite);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        float* result = values[row] + 8 * v + 4 * half;
        result[0] = low[2 * row], result[1] = low[2 * row + 1];
        result[2] = high[2 * row], result[3] = high[2 * row + 1];
      }
    }
#pragma unroll
  for (auto& row : values)
#pragma unroll
    for (int stride = 4; stride < 8 * count; stride *= 2)
#pragma unroll
      for (int i = 0; i < 8 * count; ++i)
        if (!(i & stride)) {
          const float a = row[i], b = row[i + stride];
          row[i] = a + b;
          row[i + stride] = a - b;
        }
}

}  // namespace stepvideo
