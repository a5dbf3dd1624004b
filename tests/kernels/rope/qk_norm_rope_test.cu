#define BOOST_TEST_MODULE qk_norm_rope_device
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>

#include "kernels/rope/quantized_qk_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::qk_norm_rope_agrees_with_its_oracle<float>(device, 60);
  testing::qk_norm_rope_agrees_with_its_oracle<bf16>(device, 120);
}
BOOST_AUTO_TEST_CASE(every_quantized_element_agrees_with_the_oracle) {
  testing::quantized_qk_agrees_with_its_oracle<float>(device, 30);
  testing::quantized_qk_agrees_with_its_oracle<bf16>(device, 60);
}
BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  testing::qk_norm_rope_agrees_with_its_oracle<bf16>(Device(stream), 20);
  testing::quantized_qk_agrees_with_its_oracle<bf16>(Device(stream), 20);
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  testing::qk_norm_rope_agrees_with_its_oracle<bf16>(testing::InGraph(), 20);
  testing::quantized_qk_agrees_with_its_oracle<bf16>(testing::InGraph(), 20);
}
BOOST_AUTO_TEST_CASE(runs_of_blocks_do_not_mix) {
  testing::runs_of_blocks_do_not_mix(device);
}
BOOST_AUTO_TEST_CASE(blocks_of_zeros) {
  testing::a_block_of_zeros_has_the_least_scale(device);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::qk_norm_rope_of_many_batch_elements(device);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::vector<Buffer<bf16>> results;
  std::vector<Buffer<fp8_e4m3>> bytes;
  for (int run = 0; run < 50; ++run) {
    std::mt19937 again(65);
    auto c = testing::random_qk_case<bf16>(again, 128, testing::QkLayout::head_major, true, 300, 3);
    testing::QuantizedRoom queries(c, testing::QkLayout::head_major), keys(c, testing::QkLayout::head_major);
    testing::apply(device, c);
    testing::apply(device, c, queries, keys, HeadRotation::hadamard);
    results.push_back(std::move(c.storage)), bytes.push_back(std::move(keys.values));
    BOOST_REQUIRE(std::memcmp(results[0].data(), results.back().data(), results[0].size_bytes()) == 0);
    BOOST_REQUIRE(std::memcmp(bytes[0].data(), bytes.back().data(), bytes[0].size_bytes()) == 0);
  }
}
