// The exponential function as straight-line arithmetic, so that loops that call it vectorise.
#pragma once
#include <bit>
#include <cstdint>

#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// x, or the nearest of -low and high where it lies beyond; NaN stays NaN. By the bits, whose order is that
/// of the magnitudes: a comparison of floats may trap, and GCC keeps it, and with it a loop, from vectorising
/// on AVX2.
constexpr float clamp_magnitude(float x, float low, float high) {
  constexpr std::int32_t sign_bit = std::int32_t{1} << 31, infinity = 0x7F80'0000;
  const auto bits = std::bit_cast<std::int32_t>(x), magnitude = bits & ~sign_bit;
  const auto limit = std::bit_cast<std::int32_t>(bits < 0 ? low : high);
  const bool is_beyond = magnitude > limit && magnitude <= infinity;
  return std::bit_cast<float>((is_beyond ? limit : magnitude) | (bits & sign_bit));
}

/// e^x in float32, with a relative error below 2e-7. Arguments below -87.33 give the smallest normal float
/// (1.2e-38) and arguments above 88.37 give 2.4e38: never zero, never infinity. NaN stays NaN. On the GPU,
/// one instruction of the special function unit: relative error below 2e-7 + 1e-7 |x|, zero and infinity at
/// the ends.
constexpr float fast_exp(float x) {
#ifdef __CUDA_ARCH__
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * 1.44269504f));
  return power;
#else
  x = clamp_magnitude(x, 87.33f, 88.37f);
  // Adding 1.5 * 2^23 rounds to a whole number, which then sits in the low bits of the sum.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float whole = shifted - 12582912.0f;
  // ln 2 in two parts, the first exact when multiplied by a small whole number.
  const float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const auto exponent = (std::bit_cast<std::int32_t>(shifted) - 0x4B400000 + 127) << 23;
  return p * std::bit_cast<float>(exponent);
#endif
}

/// numerator / denominator; on the GPU by an approximate reciprocal, within a few units in the last place: a
/// correctly rounded quotient takes more instructions there than an activation's other steps together.
constexpr float fast_divide(float numerator, float denominator) {
#ifdef __CUDA_ARCH__
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(denominator));
  return numerator * reciprocal;
#else
  return numerator / denominator;
#endif
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
