#define BOOST_TEST_MODULE rms_norm_device
#include <stepvideo/kernels/norm/rms_norm.cuh>

#include "kernels/norm/rms_norm_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<float>(device);
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<bf16>(device);
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<fp16>(device);
}
BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<bf16>(Device(stream), 20);
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<bf16>(testing::InGraph(), 20);
}
BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  testing::rms_norm_in_place(device);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::rms_norm_of_many_batch_elements(device);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(4);
  const auto in = testing::to_device(testing::random_normal<bf16>(1000 * 128, engine));
  const auto weight = testing::to_device(testing::random_normal<bf16>(128, engine));
  const Buffer<bf16, Device> out(device, in.size());
  Buffer<bf16> first;
  for (int run = 0; run < 50; ++run) {
    rms_norm(device, HeadsView<const bf16>::dense(in.data(), 1, 1000, 1, 128), weight.vector(), 1e-6f,
             HeadsView<bf16>::dense(out.data(), 1, 1000, 1, 128));
    auto result = testing::to_host(out);
    if (run == 0)
      first = std::move(result);
    else
      BOOST_REQUIRE(std::equal(result.begin(), result.end(), first.begin(),
                               [](bf16 a, bf16 b) { return a.bits == b.bits; }));
  }
}
