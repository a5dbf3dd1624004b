// The comparisons that other tests rest on.
#define BOOST_TEST_MODULE core_compare
#include "support/compare.hpp"

#include <limits>
#include <vector>

using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(one_wrong_element_of_many_is_an_outlier_and_hardly_a_relative_error) {
  const std::vector<float> expected(10'000, 2.0f);
  auto actual = expected;
  actual[17] = 3.0f;
  BOOST_CHECK_CLOSE(relative_error(actual, expected), 0.005, 1e-6);
  BOOST_CHECK_CLOSE(worst_error(actual, expected), 0.5, 1e-6);
  BOOST_CHECK_EQUAL(worst_error(expected, expected), 0.0);
  STEPVIDEO_CHECK_NO_OUTLIER(actual, expected, 0.5001);
}
BOOST_AUTO_TEST_CASE(what_is_not_finite_or_not_there_is_infinitely_wrong) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::vector<float> expected(3, 1.0f);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> actual{1.0f, bad, 1.0f};
    BOOST_CHECK_EQUAL(relative_error(actual, expected), infinity);
    BOOST_CHECK_EQUAL(worst_error(actual, expected), infinity);
    BOOST_CHECK_EQUAL(worst_error(expected, actual), infinity);
  }
  BOOST_CHECK_EQUAL(worst_error(std::vector<float>(2, 1.0f), expected), infinity);
}
BOOST_AUTO_TEST_CASE(against_zeros_errors_are_absolute) {
  BOOST_CHECK_EQUAL(worst_error(std::vector<float>{0.0f, -0.25f}, std::vector<float>(2, 0.0f)), 0.25);
}
