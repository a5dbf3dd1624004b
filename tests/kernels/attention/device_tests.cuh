// The test cases of attention on a device, one set for every kernel. A test program first says what it tests:
//     using Subjects = std::tuple<testing::Subject<Kernel, bf16>, ...>;
//     const testing::AttentionLimits limits{.dims = {64, 128}, .trials = 30};
// where Kernel{}(device, queries, keys, values, mask, out, options) attends.
#pragma once
#include "kernels/attention/on_device.cuh"

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE_TEMPLATE(full_attention_agrees_with_the_oracle_on_ragged_shapes, Subject, Subjects) {
  testing::full_attention_agrees<typename Subject::Element>(Subject::on_device, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(causal_attention_agrees_with_the_oracle_on_ragged_shapes, Subject, Subjects) {
  testing::causal_attention_agrees<typename Subject::Element>(Subject::on_device, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(square_root_alibi_agrees_with_the_oracle, Subject, Subjects) {
  testing::square_root_alibi_agrees<typename Subject::Element>(Subject::on_device, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_bias_on_both_sides_agrees_with_the_oracle, Subject, Subjects) {
  testing::a_bias_on_both_sides_agrees<typename Subject::Element>(Subject::on_device, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(padded_keys_receive_no_weight, Subject, Subjects) {
  testing::padded_keys_receive_no_weight<typename Subject::Element>(Subject::on_device, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(blocks_work_through_prompts_of_any_length, Subject, Subjects) {
  testing::blocks_work_through_prompts_of_any_length<typename Subject::Element>(Subject::on_device);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_query_without_keys_gets_zeros_and_minus_infinity, Subject, Subjects) {
  testing::a_query_without_keys_gets_zeros_and_minus_infinity<typename Subject::Element>(Subject::on_device);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(large_scores_do_not_overflow, Subject, Subjects) {
  for (const index_t dim : limits.dims)
    testing::large_scores_do_not_overflow<typename Subject::Element>(Subject::on_device, dim);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_scale_and_any_order_of_scores, Subject, Subjects) {
  for (const index_t dim : limits.dims)
    testing::any_scale_and_any_order_of_scores<typename Subject::Element>(Subject::on_device, dim);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_nan_in_a_query_reaches_its_result_and_no_other, Subject, Subjects) {
  testing::a_nan_in_a_query_reaches_its_result_and_no_other<typename Subject::Element>(Subject::on_device);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(fifty_runs_give_the_same_bits, Subject, Subjects) {
  using Kernel = typename Subject::Kernel;
  testing::fifty_runs_give_the_same_bits<Kernel, typename Subject::Element>(FullMask{});
  testing::fifty_runs_give_the_same_bits<Kernel, typename Subject::Element>(CausalMask{});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_graph_captures_the_call, Subject, Subjects) {
  testing::a_graph_captures_the_call<typename Subject::Kernel, typename Subject::Element>();
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_batch_may_be_larger_than_a_grid_is_wide, Subject, Subjects) {
  testing::a_batch_may_be_larger_than_a_grid_is_wide<typename Subject::Kernel, typename Subject::Element>();
}

BOOST_AUTO_TEST_CASE_TEMPLATE(elements_behind_2_to_the_31_are_reached, Subject, Subjects) {
  if constexpr (std::is_same_v<typename Subject::Element, bf16>)
    testing::elements_behind_2_to_the_31_are_reached<typename Subject::Kernel>();
}
