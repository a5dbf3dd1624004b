#define BOOST_TEST_MODULE fp8_attention
#include "kernels/attention/fp8_attention_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(full_attention_agrees_with_the_oracle_on_ragged_shapes) {
  testing::fp8_attention_agrees_with_the_oracle<bf16>(host);
}
BOOST_AUTO_TEST_CASE(causal_attention_agrees_with_the_oracle_on_ragged_shapes) {
  testing::causal_fp8_attention_agrees_with_the_oracle<bf16>(host);
}
BOOST_AUTO_TEST_CASE(square_root_alibi_agrees_with_the_oracle) {
  testing::alibi_fp8_attention_agrees_with_the_oracle<float>(host);
}
BOOST_AUTO_TEST_CASE(padded_keys_receive_no_weight) {
  testing::padded_keys_receive_no_weight_in_fp8<bf16>(host);
}
BOOST_AUTO_TEST_CASE(quantised_operands_agree_with_the_oracle) {
  testing::fp8_attention_of_quantised_operands_agrees_with_the_oracle<fp16>(host);
}
BOOST_AUTO_TEST_CASE(rising_scores_leave_no_trace_of_lower_ones) {
  testing::rising_scores_leave_no_trace_of_lower_ones<bf16>(host);
}
BOOST_AUTO_TEST_CASE(nothing_to_attend_with_gives_zeros) {
  testing::nothing_to_attend_with_gives_zeros<bf16>(host);
}
BOOST_AUTO_TEST_CASE(corrupted_results_exceed_their_budget) {
  testing::corrupted_results_exceed_their_budget<bf16>(host);
}
BOOST_AUTO_TEST_CASE(outliers_cost_no_more_than_published) {
  testing::outliers_cost_no_more_than_published<bf16>(host, 1024);
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  const Buffer<fp8_e4m3> codes(1 << 16);
  const Buffer<float> floats(4096);
  const Buffer<bf16> memory(1 << 14);
  const auto heads = [&](index_t tokens, index_t count) {
    return QuantizedHeads<const fp8_e4m3>(
        QuantizedHeads<fp8_e4m3>::head_major(codes.data(), floats.data(), 1, tokens, count, 32));
  };
  const auto values = [&](index_t tokens, index_t count) {
    return QuantizedValues<const fp8_e4m3>(QuantizedValues<fp8_e4m3>::head_major(
        codes.data(), floats.data(), floats.data(), 1, tokens, count, 32));
  };
  const auto out = HeadsView<bf16>::dense(memory.data(), 1, 5, 4, 32);
  const auto refused = [&](auto queries, auto keys, auto value, const char* text) {
    BOOST_CHECK_EXCEPTION(
        fp8_attention(host, queries, keys, value, FullMask{}, out, {}), RequestError,
        [&](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; });
  };
  refused(heads(5, 4), heads(9, 3), values(9, 3), "4 query heads cannot share 3 key heads");
  refused(heads(5, 4), heads(9, 2), values(8, 2), "values (1, 8, 2, 32)");
  refused(heads(6, 4), heads(9, 2), values(9, 2), "out is (1, 5, 4, 32)");
  auto cut = heads(5, 4);
  cut.scales.tokens = 2;
  refused(cut, heads(9, 2), values(9, 2), "they need scales of (1, 1, 4, 1)");
}
