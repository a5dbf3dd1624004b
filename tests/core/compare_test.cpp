// The comparisons that other tests rest on.
#define BOOST_TEST_MODULE core_compare
#include "support/compare.hpp"

#include <limits>
#include <random>
#include <tuple>
#include <vector>

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

using Elements = std::tuple<float, bf16, fp16, fp8_e4m3>;
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Sums of eight normal terms, as a kernel makes them of T: exactly, and in float32 rounded to T once.
template <class T>
struct Sums {
  std::vector<double> exact, summed;
  std::vector<T> rounded;

  explicit Sums(std::size_t size) {
    std::mt19937 engine(71);
    std::normal_distribution<float> normal(0, 3);
    for (std::size_t i = 0; i < size; ++i) {
      double sum = 0, magnitude = 0;
      float in_float = 0;
      for (int term = 0; term < 8; ++term) {
        const float value = normal(engine);
        sum += double{value}, magnitude += std::abs(double{value}), in_float += value;
      }
      exact.push_back(sum), summed.push_back(magnitude), rounded.push_back(T(in_float));
    }
  }
};

/// The next element of T, away from zero.
template <class T>
T next(T value) {
  if constexpr (std::same_as<T, float>) {
    return std::nextafter(value, value < 0 ? -HUGE_VALF : HUGE_VALF);
  } else {
    ++value.bits;
    return value;
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(half_a_unit_is_the_largest_error_of_a_rounding, T, Elements) {
  std::mt19937 engine(72);
  std::uniform_real_distribution<float> exponent(-12, 8), sign(-1, 1);
  double largest = 0;
  for (int i = 0; i < 100'000; ++i) {
    const float value = std::copysign(std::exp2(exponent(engine)), sign(engine));
    largest = std::max(largest, std::abs(double{value} - double(float(T(value)))) / half_unit<T>(value));
  }
  BOOST_CHECK_LE(largest, 1.0);
  if (!std::same_as<T, float>) BOOST_CHECK_GT(largest, 0.99);
  BOOST_CHECK_EQUAL(half_unit<T>(0.0), half_unit<T>(1e-300));
  BOOST_CHECK_EQUAL(half_unit<T>(1.0), half_unit<T>(-1.9));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(one_corrupted_element_of_62500_fails, T, Elements) {
  const Sums<T> sums(62'500);
  check_each<T>(sums.rounded, sums.exact, sums.summed);

  constexpr std::size_t at = 31'415;
  const T good = sums.rounded[at];
  std::vector<T> bads{T(0.0f), T(-float(good)), sums.rounded[at + 1],
                      T(std::numeric_limits<float>::quiet_NaN())};
  if (!std::same_as<T, float>) bads.push_back(next(next(good)));  // a float's terms lost more than two units
  for (const T bad : bads) {
    auto corrupted = sums.rounded;
    corrupted[at] = bad;
    const auto worst = worst_element<T>(corrupted, sums.exact, sums.summed);
    BOOST_CHECK_GT(worst.share, 1.0);
    BOOST_CHECK_EQUAL(worst.at, at);
  }
  // The norm does not see it.
  auto corrupted = sums.rounded;
  corrupted[at] = T(0.0f);
  BOOST_CHECK_LT(relative_error(corrupted, sums.exact), relative_error(sums.rounded, sums.exact) + 0.01);
}

BOOST_AUTO_TEST_CASE(what_was_summed_widens_the_bound_and_a_scale_moves_its_steps) {
  const std::vector<float> expected{1e-3f};
  const std::vector<float> actual{1e-3f + 1e-6f};
  BOOST_CHECK_GT(worst_element<float>(actual, expected, 1.0, {.float_roundings = 4}).share, 1.0);
  BOOST_CHECK_LT(worst_element<float>(actual, expected, 10.0, {.float_roundings = 4}).share, 1.0);
  // 3.3 in steps of 1/4 is 3.25; in steps of 1/4 of a scale of 1/2, 6.6 is 6.5.
  const std::vector<fp8_e4m3> rounded{fp8_e4m3(6.6f)};
  BOOST_CHECK_LE(worst_element<fp8_e4m3>(rounded, std::vector{3.3}, 3.3, {.scale = 0.5}).share, 1.0);
  BOOST_CHECK_GT(
      worst_element<fp8_e4m3>(std::vector{fp8_e4m3(7.0f)}, std::vector{3.3}, 3.3, {.scale = 0.5}).share, 1.0);
  BOOST_CHECK_EQUAL(allowed_error<bf16>(1.5, 2.0, {.float_roundings = 0, .element_roundings = 1}),
                    2.0 * 0x1p-8 + 0x1p-8);
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_or_not_there_is_infinitely_wrong) {
  const std::vector<float> expected(3, 1.0f);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> actual{1.0f, bad, 1.0f};
    BOOST_CHECK_EQUAL(relative_error(actual, expected), infinity);
    BOOST_CHECK_EQUAL(worst_element<float>(actual, expected, 1.0).share, infinity);
    BOOST_CHECK_EQUAL(worst_element<float>(actual, expected, 1.0).at, 1);
    BOOST_CHECK_EQUAL(worst_element<float>(expected, actual, 1.0).share, infinity);
    BOOST_CHECK_EQUAL(worst_element<float>(expected, expected, actual).share, infinity);
  }
  BOOST_CHECK_EQUAL(worst_element<float>(std::vector<float>(2, 1.0f), expected, 1.0).share, infinity);
  BOOST_CHECK_EQUAL(worst_element<float>(expected, expected, std::vector<double>(2, 1.0)).share, infinity);
  BOOST_CHECK_EQUAL(relative_error(std::vector<float>(2, 1.0f), expected), infinity);
}
