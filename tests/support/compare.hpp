// Comparisons in which NaN fails.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <ranges>

#include <boost/test/unit_test.hpp>

namespace stepvideo::testing {

/// Bounds on relative_error for a golden tensor, by the precision of the arithmetic.
inline constexpr double fp32_bound = 1e-5, bf16_bound = 1.5e-2;

/// ||actual - expected|| / ||expected|| in double; infinity when sizes differ or anything is NaN or infinite.
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

/// The largest |actual - expected|, in units of the root mean square of `expected`: what relative_error
/// averages away when few of many elements are wrong. Infinity when sizes differ or anything is NaN or
/// infinite.
template <std::ranges::sized_range Actual, std::ranges::sized_range Expected>
double worst_error(const Actual& actual, const Expected& expected) {
  if (std::ranges::ssize(actual) != std::ranges::ssize(expected))
    return std::numeric_limits<double>::infinity();
  double largest = 0, magnitude = 0;
  auto e = std::ranges::begin(expected);
  for (const auto& a : actual) {
    const double x = static_cast<double>(a), y = static_cast<double>(*e++);
    if (!std::isfinite(x) || !std::isfinite(y)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(x - y));
    magnitude += y * y;
  }
  return magnitude > 0 ? largest / std::sqrt(magnitude / static_cast<double>(std::ranges::size(expected)))
                       : largest;
}

}  // namespace stepvideo::testing

/// Fails unless the relative error is within the bound; prints both.
#define STEPVIDEO_CHECK_CLOSE(actual, expected, bound)                                                  \
  do {                                                                                                  \
    const double stepvideo_error = ::stepvideo::testing::relative_error(actual, expected);              \
    BOOST_CHECK_MESSAGE(stepvideo_error <= (bound), #actual " differs from " #expected " by "           \
                                                        << stepvideo_error << ", allowed " << (bound)); \
  } while (false)

/// Fails unless the worst element's error is within the bound, in units of the expected values' root mean
/// square; prints both. Stands beside STEPVIDEO_CHECK_CLOSE.
#define STEPVIDEO_CHECK_NO_OUTLIER(actual, expected, bound)                             \
  do {                                                                                  \
    const double stepvideo_worst = ::stepvideo::testing::worst_error(actual, expected); \
    BOOST_CHECK_MESSAGE(stepvideo_worst <= (bound),                                     \
                        "an element of " #actual " differs from " #expected " by "      \
                            << stepvideo_worst << " rms, allowed " << (bound));         \
  } while (false)
