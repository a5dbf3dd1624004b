// The special function unit's power of two.
#pragma once
#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// 2^x by the special function unit, 2 ulp; minus infinity gives zero.
__device__ inline float exp2_approximately(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

}  // namespace stepvideo
