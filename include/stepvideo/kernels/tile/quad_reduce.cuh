// Reductions over the four lanes that hold a row of mma.sync's or wgmma's accumulators.
#pragma once
#include <cmath>

#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// Reductions over the four neighbouring lanes that hold a row. CUB's warp reductions leave the result in one
/// lane and cost a broadcast more; these sit in attention's main loop.
__device__ inline float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, 2));
}
__device__ inline float quad_sum(float value) {
  value += __shfl_xor_sync(0xFFFFFFFFu, value, 1);
  return value + __shfl_xor_sync(0xFFFFFFFFu, value, 2);
}

}  // namespace stepvideo
