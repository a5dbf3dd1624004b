#define BOOST_TEST_MODULE layer_norm
#include "kernels/norm/layer_norm_cases.hpp"

using namespace stepvideo;

// A sum of a thousand floats near 20 loses a few units in the last place. AddressSanitizer's checks keep it
// from being vectorised, and a sum in one lane loses more: up to 3.0e-5 of the result here.
#if defined(__SANITIZE_ADDRESS__)
constexpr double float_bound = 4e-5;
#else
constexpr double float_bound = 8e-6;
#endif

BOOST_AUTO_TEST_CASE(float_agrees_with_the_oracle) {
  testing::layer_norm_agrees_with_its_oracle<float, float>(host, float_bound);
}
BOOST_AUTO_TEST_CASE(bf16_agrees_with_the_oracle) {
  testing::layer_norm_agrees_with_its_oracle<bf16, bf16>(host, 4e-3);
}
BOOST_AUTO_TEST_CASE(a_float_stream_gives_bf16) {
  testing::layer_norm_agrees_with_its_oracle<float, bf16>(host, 4e-3);
}
BOOST_AUTO_TEST_CASE(a_gated_residual_agrees_with_the_oracle) {
  testing::gated_residual_layer_norm_agrees_with_its_oracle<float, float, float>(host, 1e-6, float_bound);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, float, bf16>(host, 1e-6, 4e-3);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, bf16, bf16>(host, 4e-3, 4e-3);
}
BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  testing::layer_norm_in_place(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::layer_norm_refuses_terms_by_name(host);
}
