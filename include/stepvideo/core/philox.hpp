// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As
// Easy as 1, 2, 3" (SC 2011). A value depends on (seed, index) only, so any split over threads or devices
// draws the same noise.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// Four random words for a 64-bit key and a 128-bit counter of which the lower half is `index`.
constexpr std::array<std::uint32_t, 4> philox4x32(std::uint64_t seed, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = 0, c3 = 0;
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0, p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t h0 = static_cast<std::uint32_t>(p0 >> 32), h1 = static_cast<std::uint32_t>(p1 >> 32);
    c0 = h1 ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = h0 ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9u;  // the golden ratio
    k1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return {c0, c1, c2, c3};
}

/// Element `index` of the unit normal noise of `seed`: Box-Muller on the words of philox4x32(seed, index).
/// Logarithm and cosine are evaluated here, by operations that every IEEE machine rounds alike (fma, *, +,
/// sqrt; no product is left for a compiler to contract), so host and device agree to the last bit.
constexpr float unit_normal(std::uint64_t seed, std::uint64_t index) {
  const auto words = philox4x32(seed, index);
  // u in (0, 1]: never zero, so the logarithm is finite; the largest |normal| is about 5.8.
  const float u = static_cast<float>((words[0] >> 8) + 1u) * 0x1p-24f;

  // ln u = e ln 2 + ln m, m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1).
  const auto bits = std::bit_cast<std::uint32_t>(u);
  const std::uint32_t shifted = bits - 0x3F35'04F3u;
  const auto exponent = static_cast<std::int32_t>(shifted) >> 23;
  const float m = std::bit_cast<float>((shifted & 0x007F'FFFFu) + 0x3F35'04F3u);
  const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
  float series = std::fma(s2, 1.0f / 9.0f, 1.0f / 7.0f);
  series = std::fma(series, s2, 1.0f / 5.0f);
  series = std::fma(series, s2, 1.0f / 3.0f);
  series = std::fma(series, s2, 1.0f);
  const float log_u = std::fma(static_cast<float>(exponent), 0.693147181f, 2.0f * s * series);
  const float radius = std::sqrt(-2.0f * log_u);

  // cos(2 pi v), v in [0, 1): fold to an eighth turn, where the Taylor series is short.
  const std::uint32_t turn = words[1] >> 8;                        // 24 bits
  const std::uint32_t quarter = ((turn + (1u << 21)) >> 22) & 3u;  // nearest multiple of a quarter turn
  const auto offset = static_cast<std::int32_t>(turn + (1u << 21)) -
                      static_cast<std::int32_t>(((turn + (1u << 21)) >> 22) << 22) - (1 << 21);
  const float angle = static_cast<float>(offset) * (0x1p-24f * 6.28318531f);  // in [-pi/4, pi/4)
  const float a2 = angle * angle;
  float cosine = std::fma(a2, 2.48015873e-5f, -1.38888889e-3f);
  cosine = std::fma(cosine, a2, 4.16666667e-2f);
  cosine = std::fma(cosine, a2, -0.5f);
  cosine = std::fma(cosine, a2, 1.0f);
  float sine = std::fma(a2, 2.75573192e-6f, -1.98412698e-4f);
  sine = std::fma(sine, a2, 8.33333333e-3f);
  sine = std::fma(sine, a2, -1.66666667e-1f);
  sine = std::fma(sine, a2, 1.0f);
  sine = angle * sine;
  // cos(q pi/2 + angle) for q = 0, 1, 2, 3: cos, -sin, -cos, sin.
  const float folded = (quarter & 1u) ? sine : cosine;
  return radius * ((quarter == 1u || quarter == 2u) ? -folded : folded);
}

}  // namespace stepvideo
