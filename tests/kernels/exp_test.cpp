#define BOOST_TEST_MODULE exp
#include <cmath>
#include <limits>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/tile/exp.hpp>

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(it_agrees_with_the_exponential_function) {
  double worst = 0;
  for (float x = -87.3f; x < 88.3f; x += 0.00137f)
    worst = std::max(worst, std::abs(fast_exp(x) / std::exp(double(x)) - 1));
  BOOST_CHECK_LT(worst, 2e-7);
  BOOST_CHECK_EQUAL(fast_exp(0.0f), 1.0f);
  BOOST_CHECK_EQUAL(fast_exp(-0.0f), 1.0f);
}

BOOST_AUTO_TEST_CASE(it_ends_at_the_smallest_and_near_the_largest_float_and_keeps_nan) {
  constexpr float infinity = std::numeric_limits<float>::infinity(),
                  largest = std::numeric_limits<float>::max();
  for (const float x : {-87.34f, -100.0f, -largest, -infinity}) {
    BOOST_CHECK_EQUAL(fast_exp(x), fast_exp(-87.33f));
    BOOST_CHECK_CLOSE(fast_exp(x), 1.18e-38f, 1);
  }
  for (const float x : {88.38f, 100.0f, largest, infinity}) {
    BOOST_CHECK_EQUAL(fast_exp(x), fast_exp(88.37f));
    BOOST_CHECK_CLOSE(fast_exp(x), 2.39e38f, 1);
  }
  for (const float nan : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()})
    BOOST_CHECK(std::isnan(fast_exp(nan)));
}
