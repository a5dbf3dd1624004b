#define BOOST_TEST_MODULE layer_norm_device
#include <stepvideo/kernels/norm/gated_layer_norm.cuh>

#include "kernels/norm/layer_norm_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::layer_norm_agrees_with_its_oracle<float, float>(device);
  testing::layer_norm_agrees_with_its_oracle<bf16, bf16>(device);
  testing::layer_norm_agrees_with_its_oracle<float, bf16>(device);
}
BOOST_AUTO_TEST_CASE(every_element_behind_a_gated_residual_agrees_with_the_oracle) {
  testing::gated_residual_layer_norm_agrees_with_its_oracle<float, float, float>(device);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, float, bf16>(device);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, bf16, bf16>(device);
}
BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  testing::layer_norm_agrees_with_its_oracle<float, bf16>(Device(stream), 20);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, float, bf16>(Device(stream), 20);
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  testing::layer_norm_agrees_with_its_oracle<float, bf16>(testing::InGraph(), 20);
  testing::gated_residual_layer_norm_agrees_with_its_oracle<bf16, float, bf16>(testing::InGraph(), 20);
}
BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  testing::layer_norm_in_place(device);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::layer_norm_of_many_batch_elements(device);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(4);
  const index_t tokens = 301, width = 6144;
  const auto stream = testing::random_stream<float>(tokens * width, engine);
  const auto delta = testing::to_device(testing::random_normal<bf16>(tokens * width, engine));
  const auto gate = testing::to_device(testing::random_normal<float>(width, engine));
  const auto placed = testing::to_device(stream);
  const Buffer<bf16, Device> out(device, tokens * width);
  const auto rows = TokensView<float>::dense(placed.data(), 1, tokens, width);
  Buffer<float> first_stream;
  Buffer<bf16> first;
  for (int run = 0; run < 50; ++run) {
    copy(device, stream, placed);
    gated_residual_layer_norm(device, TokensView<const bf16>::dense(delta.data(), 1, tokens, width),
                              gate.matrix(1, width), rows, {}, 1e-5f,
                              TokensView<bf16>::dense(out.data(), 1, tokens, width));
    auto streamed = testing::to_host(placed);
    auto result = testing::to_host(out);
    if (run == 0) {
      first = std::move(result), first_stream = std::move(streamed);
    } else {
      BOOST_REQUIRE(testing::same_bits(result, first));
      BOOST_REQUIRE(testing::same_bits(streamed, first_stream));
    }
  }
}
