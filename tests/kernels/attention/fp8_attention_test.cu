#define BOOST_TEST_MODULE fp8_attention_device
#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/attention/fp8_attention.cuh>

#include "kernels/attention/fp8_attention_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(full_attention_agrees_with_the_oracle_on_ragged_shapes) {
  testing::fp8_attention_agrees_with_the_oracle<bf16>(device);
}
BOOST_AUTO_TEST_CASE(causal_attention_agrees_with_the_oracle_on_ragged_shapes) {
  testing::causal_fp8_attention_agrees_with_the_oracle<bf16>(device);
}
BOOST_AUTO_TEST_CASE(square_root_alibi_agrees_with_the_oracle) {
  testing::alibi_fp8_attention_agrees_with_the_oracle<bf16>(device);
}
BOOST_AUTO_TEST_CASE(padded_keys_receive_no_weight) {
  testing::padded_keys_receive_no_weight_in_fp8<bf16>(device);
}
BOOST_AUTO_TEST_CASE(quantised_operands_agree_with_the_oracle) {
  testing::fp8_attention_of_quantised_operands_agrees_with_the_oracle<fp16>(device);
}
BOOST_AUTO_TEST_CASE(rising_scores_leave_no_trace_of_lower_ones) {
  testing::rising_scores_leave_no_trace_of_lower_ones<bf16>(device);
}
BOOST_AUTO_TEST_CASE(outliers_cost_no_more_than_published) {
  testing::outliers_cost_no_more_than_published<bf16>(device, 4096);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(61);
  const testing::Fp8Problem<bf16, Device> problem(
      device, engine,
      {.batch = 1, .queries = 2000, .keys = 1500, .heads = 12, .groups = 6, .outliers = true});
  std::vector<double> first;
  for (int run = 0; run < 50; ++run) {
    problem.attend(device, FullMask{}, {}, false);
    auto results = problem.results();
    if (run == 0)
      first = std::move(results);
    else
      BOOST_REQUIRE(results == first);
  }
}

BOOST_AUTO_TEST_CASE(heads_that_are_not_built_are_refused_by_name) {
  const auto view = HeadsView<bf16>::dense(nullptr, 1, 4, 1, 64);
  const Buffer<std::byte, Device> memory(device, 1 << 16);
  BOOST_CHECK_EXCEPTION(
      fp8_attention<bf16>(device, view, view, view, FullMask{}, view, {}, {}, Workspace(memory)),
      RequestError, [](const RequestError& error) {
        return std::string(error.what()) == "head dimension 64 is not built; built are 128";
      });
}
