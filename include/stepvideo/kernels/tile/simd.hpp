// Vector registers of floats.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Floats in one vector register of the CPU this is compiled for, and how many registers it has.
#if defined(__AVX512F__)
inline constexpr int simd_floats = 16, simd_registers = 32;
#elif defined(__AVX__)
inline constexpr int simd_floats = 8, simd_registers = 16;
#else
inline constexpr int simd_floats = 4, simd_registers = 16;
#endif

/// One register of floats; arithmetic is lane by lane.
using FloatVector [[gnu::vector_size(simd_floats * sizeof(float))]] = float;

/// simd_floats elements from any address, widened to float.
inline FloatVector load_floats(const float* source) {
  FloatVector values;
  std::memcpy(&values, source, sizeof(values));
  return values;
}
inline FloatVector load_floats(const bf16* source) {
  using Halves [[gnu::vector_size(simd_floats * sizeof(std::uint16_t))]] = std::uint16_t;
  using Words [[gnu::vector_size(simd_floats * sizeof(std::uint32_t))]] = std::uint32_t;
  Halves halves;
  std::memcpy(&halves, source, sizeof(halves));
  return std::bit_cast<FloatVector>(__builtin_convertvector(halves, Words) << 16);
}
inline void store_floats(float* target, FloatVector values) {
  std::memcpy(target, &values, sizeof(values));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
