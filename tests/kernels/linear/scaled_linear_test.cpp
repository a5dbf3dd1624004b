#define BOOST_TEST_MODULE scaled_linear
#include "kernels/linear/scaled_linear_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(products_of_fp8_agree_with_the_oracle) {
  testing::scaled_products_agree_with_the_oracle<float>(host, 128);
  testing::scaled_products_agree_with_the_oracle<bf16>(host, 128);
}
BOOST_AUTO_TEST_CASE(requests_that_do_not_fit_are_refused) {
  testing::scaled_requests_that_do_not_fit_are_refused(host);
}
