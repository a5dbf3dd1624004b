#define BOOST_TEST_MODULE fp8_attention_device
#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/attention/fp8_attention.cuh>

#include "kernels/attention/fp8_attention_cases.hpp"
#include "support/device.cuh"
#include "support/place.hpp"

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
BOOST_AUTO_TEST_CASE(nothing_to_attend_with_gives_zeros) {
  testing::nothing_to_attend_with_gives_zeros<bf16>(device);
}
BOOST_AUTO_TEST_CASE(corrupted_results_exceed_their_budget) {
  testing::corrupted_results_exceed_their_budget<bf16>(device);
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

/// More batch elements than a grid has blocks along y and z.
BOOST_AUTO_TEST_CASE(a_batch_may_be_larger_than_a_grid_is_wide) {
  std::mt19937 engine(73);
  const testing::Fp8Problem<bf16, Device> problem(
      device, engine, {.batch = 66'000, .queries = 1, .keys = 2, .heads = 1, .groups = 1});
  problem.attend(device, FullMask{}, {}, false);
  testing::check_fp8(problem, problem.expected(testing::fp8_sees_all, testing::fp8_no_bias),
                     testing::fp8_sees_all, testing::fp8_no_bias);
}

BOOST_AUTO_TEST_CASE(streams_and_graphs_take_quantisation_and_attention) {
  std::mt19937 engine(79);
  const testing::Fp8Problem<bf16, Device> problem(device, engine,
                                                  {.queries = 300, .keys = 260, .heads = 2, .groups = 1});
  const auto memory = problem.workspace(device);
  const auto unwritten = testing::carry(device, problem.out.storage);
  const auto judge_on = [&](const auto& place) {
    copy(device, unwritten, problem.there_out);
    synchronize(device);
    testing::run(place, [&](Device stream) {
      fp8_attention<bf16>(stream, problem.queries.in(problem.there_queries),
                          problem.keys.in(problem.there_keys), problem.values.in(problem.there_values),
                          FullMask{}, problem.out.in(problem.there_out), {.scale = problem.scale}, {},
                          Workspace(memory));
    });
    check(cudaDeviceSynchronize());
    testing::check_fp8(problem, problem.expected(testing::fp8_sees_all, testing::fp8_no_bias),
                       testing::fp8_sees_all, testing::fp8_no_bias);
  };
  const testing::OwnStream stream;
  judge_on(Device(stream));
  judge_on(testing::InGraph{});
}
