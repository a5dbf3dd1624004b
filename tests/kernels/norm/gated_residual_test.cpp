#define BOOST_TEST_MODULE gated_residual
#include "kernels/norm/gated_residual_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_formula) {
  testing::gated_residual_agrees_with_its_formula<float, float, float>(host);
  testing::gated_residual_agrees_with_its_formula<bf16, float, bf16>(host);
  testing::gated_residual_agrees_with_its_formula<bf16, bf16, bf16>(host);
}
BOOST_AUTO_TEST_CASE(fp8_rows_are_made_of_the_stream_as_it_is_stored) {
  testing::gated_residual_quantises_what_it_stored<float, float>(host);
  testing::gated_residual_quantises_what_it_stored<bf16, float>(host);
  testing::gated_residual_quantises_what_it_stored<bf16, bf16>(host);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::gated_residual_quantises_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(a_float_stream_may_be_its_own_result) {
  testing::gated_residual_in_place(host);
}
BOOST_AUTO_TEST_CASE(empty_streams) {
  testing::nothing_is_added_to_an_empty_stream(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::gated_residual_refuses_shapes_by_name(host);
}
