// Comparisons in which NaN fails.
#pragma once
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

}  // namespace stepvideo::testing

/// Fails unless the relative error is within the bound; prints both.
#define STEPVIDEO_CHECK_CLOSE(actual, expected, bound)                                                  \
  do {                                                                                                  \
    const double stepvideo_error = ::stepvideo::testing::relative_error(actual, expected);              \
    BOOST_CHECK_MESSAGE(stepvideo_error <= (bound), #actual " differs from " #expected " by "           \
                                                        << stepvideo_error << ", allowed " << (bound)); \
  } while (false)
