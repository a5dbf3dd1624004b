#define BOOST_TEST_MODULE rope_device
#include <stepvideo/kernels/rope/rope.cuh>

#include "kernels/rope/rope_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::rope_agrees_with_its_oracle<float>(device);
  testing::rope_agrees_with_its_oracle<bf16>(device);
  testing::rope_agrees_with_its_oracle<fp16>(device);
}
BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  testing::rope_agrees_with_its_oracle<bf16>(Device(stream), 10);
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  testing::rope_agrees_with_its_oracle<bf16>(testing::InGraph(), 10);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::rope_of_many_batch_elements(device);
}
