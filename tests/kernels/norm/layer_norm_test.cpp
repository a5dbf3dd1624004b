#define BOOST_TEST_MODULE layer_norm
#include "kernels/norm/layer_norm_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::layer_norm_agrees_with_its_oracle<float, float>(host);
  testing::layer_norm_agrees_with_its_oracle<bf16, bf16>(host);
  testing::layer_norm_agrees_with_its_oracle<float, bf16>(host);
}
BOOST_AUTO_TEST_CASE(every_element_behind_a_gated_residual_agrees_with_the_oracle) {
  testing::gated_residual_layer_norm_agrees_with_its_oracle<float, float, float>(host);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, float, bf16>(host);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, bf16, bf16>(host);
}
BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  testing::layer_norm_in_place(host);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::layer_norm_of_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::nothing_is_normalised_of_an_empty_tensor(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::layer_norm_refuses_terms_by_name(host);
}
