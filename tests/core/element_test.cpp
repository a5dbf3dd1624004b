#define BOOST_TEST_MODULE element
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/element_cast.hpp>

#include "support/compare.hpp"

using namespace stepvideo;

namespace {

/// The nearest of all finite values of T by search: an oracle that knows no bit layout but the decoder.
/// Ties go to the value with an even last bit.
template <class T, class Bits>
float nearest_by_search(float value, int codes) {
  float best = 0;
  double best_distance = std::numeric_limits<double>::infinity();
  Bits best_bits = 0;
  for (int code = 0; code < codes; ++code) {
    const auto bits = static_cast<Bits>(code);
    const float candidate = T::from_bits(bits);
    if (!std::isfinite(candidate)) continue;
    const double distance = std::abs(static_cast<double>(candidate) - value);
    if (distance < best_distance || (distance == best_distance && bits % 2 == 0 && best_bits % 2 == 1)) {
      best = candidate;
      best_distance = distance;
      best_bits = bits;
    }
  }
  return best;
}

}  // namespace

static_assert(HostElement<float> && HostElement<bf16> && !HostElement<fp16> && !HostElement<fp8_e4m3>);

BOOST_AUTO_TEST_CASE(every_finite_code_survives_a_round_trip) {
  for (int code = 0; code < 65536; ++code) {
    const auto bits = static_cast<std::uint16_t>(code);
    if (const float value = bf16::from_bits(bits); std::isfinite(value))
      BOOST_REQUIRE_EQUAL(bf16(value).bits, bits);
    if (const float value = fp16::from_bits(bits); std::isfinite(value))
      BOOST_REQUIRE_EQUAL(fp16(value).bits, bits);
  }
  for (int code = 0; code < 256; ++code) {
    const auto bits = static_cast<std::uint8_t>(code);
    if (const float value = fp8_e4m3::from_bits(bits); std::isfinite(value))
      BOOST_REQUIRE_EQUAL(fp8_e4m3(value).bits, bits);
  }
}

BOOST_AUTO_TEST_CASE(fp16_decodes_as_the_compiler_does) {
  for (int code = 0; code < 65536; ++code) {
    const auto bits = static_cast<std::uint16_t>(code);
    _Float16 reference;
    std::memcpy(&reference, &bits, 2);
    const auto expected = static_cast<float>(reference);
    const float actual = fp16::from_bits(bits);
    BOOST_REQUIRE(std::isnan(expected) ? std::isnan(actual) : actual == expected);
  }
}

BOOST_AUTO_TEST_CASE(conversion_rounds_to_nearest_even) {
  std::mt19937 engine(5);
  std::uniform_real_distribution<float> exponent(-12, 9), mantissa(-2, 2);
  for (int i = 0; i < 2000; ++i) {
    const float value = mantissa(engine) * std::exp2(exponent(engine));
    BOOST_REQUIRE_EQUAL(float(fp8_e4m3(value)), (nearest_by_search<fp8_e4m3, std::uint8_t>(value, 256)));
    if (i % 20 == 0) {
      const float tiny = value * 1e-5f;
      BOOST_REQUIRE_EQUAL(float(fp16(value)), (nearest_by_search<fp16, std::uint16_t>(value, 65536)));
      BOOST_REQUIRE_EQUAL(float(fp16(tiny)), (nearest_by_search<fp16, std::uint16_t>(tiny, 65536)));
      BOOST_REQUIRE_EQUAL(float(bf16(value)), (nearest_by_search<bf16, std::uint16_t>(value, 65536)));
    }
  }
  BOOST_CHECK_EQUAL(float(bf16(1.00390625f)), 1.0f);       // a tie, down to even
  BOOST_CHECK_EQUAL(float(bf16(1.01171875f)), 1.015625f);  // a tie, up to even
}

BOOST_AUTO_TEST_CASE(nan_stays_nan_and_overflow_is_as_documented) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  BOOST_CHECK(std::isnan(float(bf16(nan))) && std::isnan(float(fp16(nan))) &&
              std::isnan(float(fp8_e4m3(nan))));
  BOOST_CHECK_EQUAL(float(bf16(infinity)), infinity);
  BOOST_CHECK_EQUAL(float(fp16(1e6f)), infinity);
  BOOST_CHECK_EQUAL(float(fp16(65519.0f)), 65504.0f);
  BOOST_CHECK_EQUAL(float(fp8_e4m3(1e6f)), 448.0f);
  BOOST_CHECK_EQUAL(float(fp8_e4m3(-infinity)), -448.0f);
}

namespace {
struct alignas(2) OthersBfloat16 {
  std::uint16_t x;
};
}  // namespace

BOOST_AUTO_TEST_CASE(elements_of_other_libraries_are_taken_by_their_bytes) {
  OthersBfloat16 others[2] = {{0x3F80}, {0xC000}};
  const OthersBfloat16* const read_only = others;
  static_assert(std::is_same_v<decltype(element_cast<bf16>(read_only)), const bf16*>);
  BOOST_CHECK_EQUAL(float(element_cast<bf16>(others)[0]), 1.0f);
  BOOST_CHECK_EQUAL(float(element_cast<bf16>(read_only)[1]), -2.0f);
  static_assert(SameBytesAs<std::uint16_t, fp16> && SameBytesAs<float, float>);
  static_assert(!SameBytesAs<float, bf16> && !SameBytesAs<short, bf16> && !SameBytesAs<int, float>);
  static_assert(!SameBytesAs<OthersBfloat16, fp8_e4m3> && !SameBytesAs<unsigned char, bf16>);
}
