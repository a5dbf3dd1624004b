#define BOOST_TEST_MODULE gated_residual_device
#include <stepvideo/kernels/norm/gated_residual.cuh>

#include "kernels/norm/gated_residual_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_formula) {
  testing::gated_residual_agrees_with_its_formula<float, float, float>(device);
  testing::gated_residual_agrees_with_its_formula<bf16, float, bf16>(device);
  testing::gated_residual_agrees_with_its_formula<bf16, bf16, bf16>(device);
}
BOOST_AUTO_TEST_CASE(fp8_rows_are_made_of_the_stream_as_it_is_stored) {
  testing::gated_residual_quantises_what_it_stored<float, float>(device);
  testing::gated_residual_quantises_what_it_stored<bf16, float>(device);
  testing::gated_residual_quantises_what_it_stored<bf16, bf16>(device);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::gated_residual_quantises_many_batch_elements(device);
}
BOOST_AUTO_TEST_CASE(a_float_stream_may_be_its_own_result) {
  testing::gated_residual_in_place(device);
}
BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  testing::gated_residual_agrees_with_its_formula<bf16, float, bf16>(Device(stream));
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  testing::gated_residual_quantises_what_it_stored<bf16, float>(testing::InGraph());
  testing::gated_residual_agrees_with_its_formula<bf16, float, bf16>(testing::InGraph());
}
