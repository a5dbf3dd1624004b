// Comparisons in which NaN fails.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <ranges>
#include <source_location>
#include <string>
#include <type_traits>

#include <boost/test/unit_test.hpp>

#include <stepvideo/core/element.hpp>

namespace stepvideo::testing {

/// Bounds on relative_error for a golden tensor, by the precision of the arithmetic.
inline constexpr double fp32_bound = 1e-5, bf16_bound = 1.5e-2;

/// ||actual - expected|| / ||expected|| in double; infinity when sizes differ or anything is NaN or infinite.
/// For goldens, whose arithmetic nobody can bound element by element: one wrong element of many hides in it,
/// so kernels are held to check_each.
template <std::ranges::sized_range Actual, std::ranges::sized_range Expected>
double relative_error(const Actual& actual, const Expected& expected) {
  if (std::ranges::ssize(actual) != std::ranges::ssize(expected))
    return std::numeric_limits<double>::infinity();
  double difference = 0, magnitude = 0;
  auto e = std::ranges::begin(expected);
  for (const auto& a : actual) {
    const double x = static_cast<double>(a), y = static_cast<double>(*e++);
    difference += (x - y) * (x - y);
    magnitude += y * y;
  }
  const double error = magnitude > 0 ? std::sqrt(difference / magnitude) : std::sqrt(difference);
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

/// Half a unit in the last place of T at `value`: what one rounding to T loses at most.
template <Element T>
double half_unit(double value) {
  constexpr int digits = std::same_as<T, float>  ? 24
                         : std::same_as<T, fp16> ? 11
                         : std::same_as<T, bf16> ? 8
                                                 : 4;
  constexpr int least_exponent = std::same_as<T, fp16> ? -14 : std::same_as<T, fp8_e4m3> ? -6 : -126;
  const int exponent = value == 0 ? least_exponent : std::max(least_exponent, std::ilogb(value));
  return std::ldexp(1.0, exponent - digits);
}

/// One rounding to T in roundings to float32: for what a kernel rounds to another type than the result's.
template <Element T>
inline constexpr double in_float_roundings = std::same_as<T, float>  ? 0x1p0
                                             : std::same_as<T, fp16> ? 0x1p13
                                             : std::same_as<T, bf16> ? 0x1p16
                                                                     : 0x1p20;

/// What a kernel's arithmetic may lose of an element of T beside its last rounding, in roundings of what was
/// summed to make it: of the sum of the absolute values of its terms, not of the sum itself, so that a result
/// near zero is allowed what its terms lost.
struct Budget {
  /// To float32, each 2^-24 of what was summed. A sum of n terms in w lanes costs about sqrt(n / w) of them
  /// (n / w in the worst order), an operation one, an approximate function two or three.
  double float_roundings = 4;
  /// To T, on the way to the result: each is one of T's units of roundoff (2^-8 for bf16).
  double element_roundings = 0;
  /// What a stored element is multiplied with to give its value: the scale of fp8.
  double scale = 1;
};

/// The largest error that `budget` allows an element of T whose oracle is `expected`, `summed` being the sum
/// of the absolute values of its terms.
template <Element T>
double allowed_error(double expected, double summed, const Budget& budget) {
  const double before =
      (budget.float_roundings * 0x1p-24 + budget.element_roundings * half_unit<T>(1.0)) * summed;
  return before + budget.scale * half_unit<T>((std::abs(expected) + before) / budget.scale);
}

/// The element that uses most of what it is allowed.
struct WorstElement {
  std::ptrdiff_t at = 0;
  double actual = 0, expected = 0, allowed = 0;
  double share =
      0;  ///< |actual - expected| / allowed; infinity where one of them is NaN or infinite, or summed was
};

/// Over actual * budget.scale and `expected`, which must have the same size, or the share is infinite.
/// `summed` is a range of it, or one number for all.
template <Element T, std::ranges::sized_range Actual, std::ranges::sized_range Expected, class Summed>
WorstElement worst_element(const Actual& actual, const Expected& expected, const Summed& summed,
                           const Budget& budget = {}) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  WorstElement worst;
  bool sizes_differ = std::ranges::ssize(actual) != std::ranges::ssize(expected);
  if constexpr (!std::is_arithmetic_v<Summed>)
    sizes_differ |= std::ranges::ssize(summed) != std::ranges::ssize(expected);
  if (sizes_differ) {
    worst.share = infinity;
    return worst;
  }
  auto e = std::ranges::begin(expected);
  const auto summed_at = [&](std::ptrdiff_t i) {
    if constexpr (std::is_arithmetic_v<Summed>) {
      return static_cast<double>(summed);
    } else {
      return static_cast<double>(std::ranges::begin(summed)[i]);
    }
  };
  std::ptrdiff_t i = 0;
  for (const auto& a : actual) {
    const double x = static_cast<double>(a) * budget.scale, y = static_cast<double>(*e++);
    const double allowed = allowed_error<T>(y, summed_at(i), budget), quotient = std::abs(x - y) / allowed;
    const double share = std::isfinite(allowed) && std::isfinite(quotient) ? quotient : infinity;
    if (i == 0 || share > worst.share) worst = {i, x, y, allowed, share};
    ++i;
  }
  return worst;
}

/// Fails unless every element is as near to its oracle as `budget` allows: T's last rounding, and the
/// roundings before it of what was summed.
///     check_each<bf16>(out, expected, summed, {.float_roundings = 8, .element_roundings = 1});
/// `actual` are the elements in the host's memory, `expected` their oracles and `summed` the sums of the
/// absolute values of their terms, in double. Different sizes, NaN and infinities fail; the message names the
/// worst element.
template <Element T, std::ranges::sized_range Actual, std::ranges::sized_range Expected, class Summed>
void check_each(const Actual& actual, const Expected& expected, const Summed& summed,
                const Budget& budget = {}, std::source_location at = std::source_location::current()) {
  const auto worst = worst_element<T>(actual, expected, summed, budget);
  BOOST_CHECK_MESSAGE(worst.share <= 1, at.file_name() << ":" << at.line() << ": element " << worst.at
                                                       << " of " << std::ranges::ssize(actual) << " ("
                                                       << std::ranges::ssize(expected) << " expected) is "
                                                       << worst.actual << " and should be " << worst.expected
                                                       << ": off by " << worst.share << " of the allowed "
                                                       << worst.allowed);
}

/// The same with an oracle that says both.
template <Element T, std::ranges::sized_range Actual, class Sums>
requires requires(const Sums& sums) {
  sums.values.size() == sums.summed.size();
}
void check_each(const Actual& actual, const Sums& expected, const Budget& budget = {},
                std::source_location at = std::source_location::current()) {
  check_each<T>(actual, expected.values, expected.summed, budget, at);
}

}  // namespace stepvideo::testing

/// Fails unless the relative error is within the bound; prints both.
#define STEPVIDEO_CHECK_CLOSE(actual, expected, bound)                                                  \
  do {                                                                                                  \
    const double stepvideo_error = ::stepvideo::testing::relative_error(actual, expected);              \
    BOOST_CHECK_MESSAGE(stepvideo_error <= (bound), #actual " differs from " #expected " by "           \
                                                        << stepvideo_error << ", allowed " << (bound)); \
  } while (false)
