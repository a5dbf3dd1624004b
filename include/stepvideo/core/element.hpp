// Element types: what tensors are stored in. Arithmetic is done in float; these types only convert.
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <string_view>

#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// bfloat16: the upper half of a float. Conversion from float rounds to nearest even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits;

  bf16() = default;
  constexpr explicit bf16(float value) : bits(round(value)) {}
  constexpr operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

  static constexpr bf16 from_bits(std::uint16_t bits) {
    bf16 value{};
    value.bits = bits;
    return value;
  }

 private:
  static constexpr std::uint16_t round(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const auto rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
    const auto quiet_nan = (word >> 16) | 0x40u;
    return static_cast<std::uint16_t>((word & 0x7FFF'FFFFu) > 0x7F80'0000u ? quiet_nan : rounded);
  }
};

/// IEEE binary16. Conversion from float rounds to nearest even and overflows to infinity.
struct fp16 {
  std::uint16_t bits;

  fp16() = default;
  constexpr explicit fp16(float value) : bits(round(value)) {}
  constexpr operator float() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7FFFu;
    if (magnitude >= 0x7C00u)  // infinity and NaN keep an all-ones exponent
      return std::bit_cast<float>(sign | 0x7F80'0000u | ((magnitude & 0x3FFu) << 13));
    // Scaling by 2^112 moves the exponent from bias 15 to bias 127 and normalises subnormals for free.
    return std::bit_cast<float>(sign | (magnitude << 13)) * 0x1p112f;
  }

  static constexpr fp16 from_bits(std::uint16_t bits) {
    fp16 value{};
    value.bits = bits;
    return value;
  }

 private:
  static constexpr std::uint16_t round(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 16) & 0x8000u, magnitude = word & 0x7FFF'FFFFu;
    if (magnitude > 0x7F80'0000u) return static_cast<std::uint16_t>(sign | 0x7E00u);   // NaN
    if (magnitude >= 0x4780'0000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // >= 65536
    if (magnitude < 0x3880'0000u) {
      // Subnormal result: adding 0.5 aligns the last kept bit with the float's own rounding position.
      const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
      return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3F00'0000u));
    }
    const std::uint32_t rebiased = magnitude - (112u << 23);
    return static_cast<std::uint16_t>(sign | ((rebiased + 0xFFFu + ((rebiased >> 13) & 1u)) >> 13));
  }
};

/// fp8 e4m3 (no infinities, NaN is 0x7F, largest 448): storage only. Conversion from float saturates.
struct fp8_e4m3 {
  std::uint8_t bits;

  fp8_e4m3() = default;
  constexpr explicit fp8_e4m3(float value) : bits(round(value)) {}
  constexpr operator float() const {
    const std::uint32_t sign = (bits & 0x80u) << 24, magnitude = bits & 0x7Fu;
    if (magnitude == 0x7Fu) return std::bit_cast<float>(sign | 0x7FC0'0000u);
    return std::bit_cast<float>(sign | (magnitude << 20)) * 0x1p120f;  // bias 7 to bias 127
  }

  static constexpr fp8_e4m3 from_bits(std::uint8_t bits) {
    fp8_e4m3 value{};
    value.bits = bits;
    return value;
  }

 private:
  static constexpr std::uint8_t round(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 24) & 0x80u, magnitude = word & 0x7FFF'FFFFu;
    if (magnitude > 0x7F80'0000u) return static_cast<std::uint8_t>(sign | 0x7Fu);
    if (magnitude >= 0x43E0'0000u) return static_cast<std::uint8_t>(sign | 0x7Eu);  // saturate at 448
    if (magnitude < 0x3C80'0000u) {  // below 2^-6: subnormal steps of 2^-9; 2^14 has that last bit
      const float aligned = std::bit_cast<float>(magnitude) + 0x1p14f;
      return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x4680'0000u));
    }
    const std::uint32_t rebiased = magnitude - (120u << 23);
    return static_cast<std::uint8_t>(sign | ((rebiased + 0x7'FFFFu + ((rebiased >> 20) & 1u)) >> 20));
  }
};

static_assert(sizeof(bf16) == 2 && sizeof(fp16) == 2 && sizeof(fp8_e4m3) == 1);

/// What a kernel can be instantiated for.
template <class T>
concept Element =
    std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, fp16> || std::same_as<T, fp8_e4m3>;

/// What the host's kernels compute with. Those that only store, convert or quantise (convert, fill_normal,
/// count_non_finite, fp8_attention and its quantisation) take every Element.
template <class T>
concept HostElement = std::same_as<T, float> || std::same_as<T, bf16>;

/// The element's name as the command line and the error messages spell it.
template <Element T>
inline constexpr std::string_view element_name = "fp32";
template <>
inline constexpr std::string_view element_name<bf16> = "bf16";
template <>
inline constexpr std::string_view element_name<fp16> = "fp16";
template <>
inline constexpr std::string_view element_name<fp8_e4m3> = "fp8";

}  // namespace stepvideo
