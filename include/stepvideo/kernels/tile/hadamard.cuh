// The normalised Walsh-Hadamard transform of a row that lies in the registers of a few lanes.
#pragma once
#include <bit>
#include <numbers>

#include <stepvideo/kernels/tile/hadamard.hpp>

namespace stepvideo {

/// The row of lanes * count values whose index bits are shared out between the lane (of an aligned run of
/// `lanes`) and the place in `values`, in any order of bits: lane * count + i, or the vectors of 8 that lanes
/// take in turn. Every lane of the warp calls it. See hadamard() on the host for the matrix.
template <int lanes, int count>
__device__ void hadamard(float (&values)[count]) {
  constexpr int size = lanes * count;
  static_assert(has_hadamard(lanes) && has_hadamard(count) && lanes <= 32);
  constexpr int bits = std::bit_width(unsigned{size}) - 1;
  constexpr float norm = (bits % 2 ? float(std::numbers::sqrt2) / 2 : 1.0f) / (1 << bits / 2);
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

}  // namespace stepvideo
