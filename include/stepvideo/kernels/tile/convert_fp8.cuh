// Four floats to one register of fp8.
#pragma once
#include <cstdint>

#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// The values as e4m3, first in the lowest byte; rounds to nearest even, saturates at 448.
__device__ inline std::uint32_t convert_four_to_fp8(float first, float second, float third, float fourth) {
  std::uint32_t bytes;
  asm("{\n.reg .b16 low, high;\n"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\ncvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
      "mov.b32 %0, {low, high};\n}"
      : "=r"(bytes)
      : "f"(first), "f"(second), "f"(third), "f"(fourth));
  return bytes;
}

}  // namespace stepvideo
