#define BOOST_TEST_MODULE rms_norm
#include "kernels/norm/rms_norm_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<float>(host);
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<bf16>(host);
}
BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  testing::rms_norm_in_place(host);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::rms_norm_of_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::rms_norm_of_an_empty_tensor(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::rms_norm_refuses_by_name(host);
}
