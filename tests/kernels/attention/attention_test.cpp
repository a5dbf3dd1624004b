#define BOOST_TEST_MODULE attention
#include <cmath>
#include <fstream>
#include <tuple>

#include <nlohmann/json.hpp>
#include <omp.h>

#include "kernels/attention/attention_cases.hpp"
#include "kernels/attention/merge_cases.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;

const testing::AttentionLimits limits{.dims = {1, 8, 20, 32, 64, 72, 128, 512}};

const auto on_host = [](const auto& p, const auto& mask) {
  attention(host, p.queries.view, p.keys.view, p.values.view, mask, p.out.view,
            {.scale = p.scale, .log_sum_exp = p.log_sum_exp.view});
};

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(full_attention_agrees_with_the_oracle_on_ragged_shapes, T, Elements) {
  testing::full_attention_agrees<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(causal_attention_agrees_with_the_oracle_on_ragged_shapes, T, Elements) {
  testing::causal_attention_agrees<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(bottom_right_causal_attention_agrees_with_the_oracle, T, Elements) {
  testing::bottom_right_causal_attention_agrees<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sliding_windows_agree_with_the_oracle, T, Elements) {
  testing::sliding_windows_agree<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(packed_sequences_agree_with_the_oracle, T, Elements) {
  testing::packed_sequences_agree<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(square_root_alibi_agrees_with_the_oracle, T, Elements) {
  testing::square_root_alibi_agrees<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_bias_on_both_sides_agrees_with_the_oracle, T, Elements) {
  testing::a_bias_on_both_sides_agrees<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(padded_keys_receive_no_weight, T, Elements) {
  testing::padded_keys_receive_no_weight<T>(on_host, limits);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(blocks_work_through_prompts_of_any_length, T, Elements) {
  testing::blocks_work_through_prompts_of_any_length<T>(on_host);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_query_without_keys_gets_zeros_and_minus_infinity, T, Elements) {
  testing::a_query_without_keys_gets_zeros_and_minus_infinity<T>(on_host);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(large_scores_do_not_overflow, T, Elements) {
  testing::large_scores_do_not_overflow<T>(on_host, 64);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_scale_and_any_order_of_scores, T, Elements) {
  testing::any_scale_and_any_order_of_scores<T>(on_host, 64);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_nan_in_a_query_reaches_its_result_and_no_other, T, Elements) {
  testing::a_nan_in_a_query_reaches_its_result_and_no_other<T>(on_host);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(parts_of_the_keys_merge_into_the_whole, T, Elements) {
  const auto merge = [](const auto& other, const auto& into) {
    merge_attention(host, other.out.view, other.log_sum_exp.view, into.out.view, into.log_sum_exp.view);
  };
  testing::parts_of_the_keys_merge_into_the_whole<T>(on_host, merge, limits);
}

BOOST_AUTO_TEST_CASE(merging_two_empty_parts_stays_empty) {
  SoftmaxState empty;
  const auto factors = merge(empty, SoftmaxState::from_log_sum_exp(-INFINITY));
  BOOST_CHECK(empty.is_empty());
  BOOST_CHECK_EQUAL(empty.log_sum_exp(), -INFINITY);
  BOOST_CHECK(std::isfinite(factors.into) && std::isfinite(factors.other));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_number_of_threads_gives_the_same_bits, T, Elements) {
  std::mt19937 engine(6);
  const testing::AttentionProblem<T> problem(
      engine, {.batch = 2, .queries = 230, .keys = 301, .heads = 3, .groups = 3, .dim = 64});
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    on_host(problem, FullMask{});
    std::vector<T> result;
    testing::for_each_element(problem.out.view, [&](index_t, T value) { result.push_back(value); });
    return result;
  };
  const auto one = run(1);
  for (int threads : {2, 3, 5}) BOOST_CHECK(one == run(threads));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(without_a_scale_it_is_one_over_the_root_of_the_width, T, Elements) {
  for (const index_t dim : {1, 20, 64, 128}) {
    std::mt19937 engine(7);
    const testing::AttentionProblem<T> problem(engine, {.queries = 33, .keys = 70, .dim = dim});
    const auto bits = [&](const AttentionOptions& options) {
      testing::for_each_element(problem.out.view, [](index_t, T& value) { value = T(NAN); });
      attention(host, problem.queries.view, problem.keys.view, problem.values.view, FullMask{},
                problem.out.view, options);
      std::vector<float> result;
      testing::for_each_element(problem.out.view, [&](index_t, T value) { result.push_back(float(value)); });
      return result;
    };
    BOOST_CHECK(bits({}) == bits({.scale = 1.0f / std::sqrt(static_cast<float>(dim))}));
    if (dim > 1) BOOST_CHECK(bits({}) != bits({.scale = 1.0f}));
  }
}

/// One element of 24,000 that is zero, its negative, its neighbour or a few units off uses more than its
/// budget.
BOOST_AUTO_TEST_CASE_TEMPLATE(one_corrupted_element_exceeds_its_budget, T, Elements) {
  std::mt19937 engine(10);
  const testing::AttentionProblem<T> problem(
      engine, {.batch = 1, .queries = 125, .keys = 200, .heads = 3, .groups = 3, .dim = 64});
  on_host(problem, FullMask{});
  const auto expected = oracle::attention<T>(problem.queries.view, problem.keys.view, problem.values.view,
                                             problem.scale, testing::sees_all, testing::no_bias);
  std::vector<double> actual;
  testing::for_each_element(problem.out.view, [&](index_t, T value) { actual.push_back(float(value)); });
  const auto share = [&] { return testing::worst_of_attention<T>(actual, expected, 64, 200).share; };
  BOOST_CHECK_LE(share(), 1.0);
  int found = 0;
  for (std::size_t at = 0; at < actual.size(); at += 997) {
    const double good = actual[at];
    const double bads[] = {0.0, -good, actual[at + 1],
                           good + expected.summed[at] * (std::same_as<T, float> ? 1e-4 : 0.02)};
    for (const double bad : bads) {
      actual[at] = bad;
      found += share() > 1;
    }
    actual[at] = NAN;
    BOOST_CHECK_EQUAL(share(), std::numeric_limits<double>::infinity());
    actual[at] = good;
  }
  const int tried = 4 * static_cast<int>((actual.size() + 996) / 997);
  BOOST_TEST_MESSAGE(found << " of " << tried << " corruptions were found");
  BOOST_CHECK_GE(10 * found, 9 * tried);
}

BOOST_AUTO_TEST_CASE(alibi_slopes_equal_those_of_the_release) {
  const auto golden =
      nlohmann::json::parse(std::ifstream(STEPVIDEO_TEST_DATA "/golden/step_llm_tiny/slopes.json"));
  BOOST_REQUIRE_EQUAL(golden.size(), 4u);
  for (const auto& [heads, slopes] : golden.items()) {
    BOOST_REQUIRE_EQUAL(slopes.size(), std::stoul(heads));
    for (int head = 0; head < std::stoi(heads); ++head)
      BOOST_CHECK_CLOSE(alibi_slope(head, std::stoi(heads)), slopes[head].get<float>(), 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  const auto refuse = [](auto... arguments) { attention(host, arguments...); };
  testing::views_that_do_not_fit_are_refused_by_name<float>(refuse);
  const Buffer<float> memory(520);
  const auto wide = HeadsView<float>::dense(memory.data(), 1, 1, 1, 520);
  BOOST_CHECK_EXCEPTION(
      attention(host, wide, wide, wide, FullMask{}, wide, {}), RequestError, [](const RequestError& error) {
        return std::string(error.what()).find("wider than the host's 512") != std::string::npos;
      });
}
