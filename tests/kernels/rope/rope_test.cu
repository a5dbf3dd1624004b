#define BOOST_TEST_MODULE rope_device
#include <cstddef>
#include <vector>

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
BOOST_AUTO_TEST_CASE(a_table_in_memory_of_the_callers_is_the_hosts) {
  const LatentShape shape{3, 4, 5};
  const RopeSplit split{8, 4, 4};
  const testing::OwnStream stream;
  const auto bytes = static_cast<index_t>(rope_table_workspace(shape, split));
  const Buffer<std::byte> expected(bytes), staging(bytes);
  make_rope_table_in<float>(host, Workspace(expected), shape, split);
  const Buffer<std::byte, Device> memory(Device(stream), bytes);
  const auto view =
      make_rope_table_in<float>(Device(stream), Workspace(memory), Workspace(staging), shape, split);
  const auto* values = reinterpret_cast<const float*>(expected.data());
  std::vector<float> cosines(static_cast<std::size_t>(shape.width * view.column.pairs));
  download(Device(stream), VectorView<const float>{view.column.cosines, shape.width * view.column.pairs},
           cosines.data());
  const auto* from = values + (view.column.cosines - view.frame.cosines);
  BOOST_CHECK_EQUAL_COLLECTIONS(cosines.begin(), cosines.end(), from, from + cosines.size());
}
