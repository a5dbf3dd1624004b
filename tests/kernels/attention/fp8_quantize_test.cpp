#define BOOST_TEST_MODULE fp8_quantize
#include "kernels/attention/fp8_quantize_cases.hpp"
#include "kernels/attention/quantize_refusals.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(heads_read_back_as_what_they_were) {
  testing::quantized_heads_read_back_as_what_they_were<bf16>(host);
}

BOOST_AUTO_TEST_CASE(values_read_back_as_what_they_were) {
  testing::quantized_values_read_back_as_what_they_were<fp16>(host);
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::views_that_do_not_fit_are_not_quantised(host);
}
