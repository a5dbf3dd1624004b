// The cases of fp8 attention, for any execution.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <stepvideo/kernels/attention/fp8_attention.hpp>

#include "kernels/attention/fp8_budget.hpp"
#include "kernels/attention/fp8_problem.hpp"
#include "oracle/attention.hpp"
#include "oracle/quantize_attention.hpp"
#include "support/compare.hpp"

namespace stepvideo::testing {

struct Fp8Extents {
  index_t batch = 1, queries = 1, keys = 1, heads = 1, groups = 1, dim = 128;
  int order = 0;
  bool outliers = false;
};

/// Random operands on the host and in the memory of `E`, and poisoned results.
template <class T, Execution E>
struct Fp8Problem {
  Fp8Extents extents;
  float scale = 1 / std::sqrt(float(extents.dim));
  StridedHeads<T> queries, keys, values, out;
  Buffer<T, E> there_queries, there_keys, there_values, there_out;
  Buffer<float, E> there_log_sum_exp;

  Fp8Problem(E execution, std::mt19937& engine, const Fp8Extents& e)
      : extents(e),
        queries(engine, e.order, e.batch, e.queries, e.heads, e.dim, e.outliers),
        keys(engine, (e.order + 1) % 3, e.batch, e.keys, e.groups, e.dim, e.outliers),
        values(engine, e.order, e.batch, e.keys, e.groups, e.dim, e.outliers),
        out(engine, e.order, e.batch, e.queries, e.heads, e.dim) {
    for (T& value : out.storage) value = T(NAN);
    carry_inputs(execution);
    there_out = carry(execution, out.storage);
    there_log_sum_exp = carry(execution, poisoned<float>(e.batch * e.queries * e.heads));
  }
  void carry_inputs(E execution) {
    there_queries = carry(execution, queries.storage);
    there_keys = carry(execution, keys.storage);
    there_values = carry(execution, values.storage);
  }

  HeadsView<float> log_sum_exp() const {
    return HeadsView<float>::dense(there_log_sum_exp.data(), extents.batch, extents.queries, extents.heads,
                                   1);
  }
  Buffer<std::byte, E> workspace(E execution) const {
    return Buffer<std::byte, E>(execution, static_cast<index_t>(fp8_attention_workspace(
                                               execution, queries.in(there_queries), keys.in(there_keys))));
  }
  /// From operands of T. `wants_log_sum_exp` switches the subtraction of the mean key off.
  template <class Mask>
  void attend(E execution, const Mask& mask, const QuantizeOptions& options, bool wants_log_sum_exp) const {
    const auto memory = workspace(execution);
    fp8_attention<T>(execution, queries.in(there_queries), keys.in(there_keys), values.in(there_values), mask,
                     out.in(there_out),
                     {.scale = scale, .log_sum_exp = wants_log_sum_exp ? log_sum_exp() : HeadsView<float>{}},
                     options, Workspace(memory));
  }
  /// The results, one row after another.
  std::vector<double> results() const {
    const auto storage = bring(there_out);
    const auto view = out.in(storage);
    std::vector<double> rows;
    for (index_t b = 0; b < extents.batch; ++b)
      for (index_t t = 0; t < extents.queries; ++t)
        for (index_t h = 0; h < extents.heads; ++h)
          for (index_t i = 0; i < extents.dim; ++i) rows.push_back(float(view.row(b, t, h)[i]));
    return rows;
  }
  /// Elements of the results' memory that are numbers; what lies between the rows stays poisoned.
  index_t numbers() const {
    const auto storage = bring(there_out);
    return std::count_if(storage.begin(), storage.end(), [](T value) { return !std::isnan(float(value)); });
  }
  template <class Sees, class Bias>
  oracle::Attention expected(Sees&& sees, Bias&& bias) const {
    return oracle::attention<T>(HeadsView<const T>(queries.view), HeadsView<const T>(keys.view),
                                HeadsView<const T>(values.view), scale, sees, bias);
  }
};

const auto fp8_no_bias = [](index_t, index_t, index_t) { return 0.0; };
const auto fp8_sees_all = [](index_t, index_t, index_t) { return true; };
const auto fp8_sees_past = [](index_t, index_t query, index_t key) { return key <= query; };

/// fp8 keeps three bits: each of queries, keys, weights and values moves by 2.6 % of itself, and independent
/// inputs average nothing away that the result does not lose as well. 5.4 % is what random operands give.
inline constexpr double fp8_bound = 0.085;

/// Fails unless every element is within its budget and the relative error within fp8_bound.
template <class T, Execution E, class Sees, class Bias>
void check_fp8(const Fp8Problem<T, E>& problem, const oracle::Attention& expected, Sees&& sees, Bias&& bias,
               const Fp8Roundings& roundings = {}) {
  const auto results = problem.results();
  BOOST_REQUIRE_EQUAL(results.size(), expected.out.size());
  BOOST_CHECK_EQUAL(problem.numbers(), std::ssize(results));
  STEPVIDEO_CHECK_CLOSE(results, expected.out, fp8_bound);
  const auto allowed = fp8_allowed_errors<T>(problem.queries.view, problem.keys.view, problem.values.view,
                                             problem.scale, sees, bias, expected, roundings);
  const WorstElement worst = worst_of_allowed(results, expected.out, allowed);
  BOOST_TEST_MESSAGE("the worst element uses " << worst.share << " of its budget");
  BOOST_CHECK_MESSAGE(worst.share <= 1, "element " << worst.at << " is " << worst.actual << " for "
                                                   << worst.expected << ", " << worst.share
                                                   << " times what it may lose");
}

/// Channels that the device quantises, of one problem after another.
inline constexpr index_t fp8_head_dims[] = {128, 64, 128, 64, 64};

template <class T, Execution E, class Test>
void on_fp8_problems(E execution, int trials, Test&& test, std::span<const index_t> dims = fp8_head_dims) {
  std::mt19937 engine(47);
  const int tokens[] = {1, 2, 63, 64, 65, 127, 128, 129, 190, 256, 300, 385, 650, 1025};
  const auto any = [&] { return tokens[random_int(engine, 0, int(std::size(tokens)) - 1)]; };
  for (int trial = 0; trial < trials; ++trial) {
    const int groups = random_int(engine, 1, 2);
    const Fp8Extents extents{.batch = random_int(engine, 1, 2),
                             .queries = any(),
                             .keys = any(),
                             .heads = groups * random_int(engine, 1, 2),
                             .groups = groups,
                             .dim = dims[std::size_t(trial) % dims.size()],
                             .order = trial % 3};
    test(engine, Fp8Problem<T, E>(execution, engine, extents), trial);
  }
}

template <class T, Execution E>
void fp8_attention_agrees_with_the_oracle(E execution) {
  on_fp8_problems<T>(execution, 20, [&](std::mt19937&, const Fp8Problem<T, E>& problem, int trial) {
    const QuantizeOptions options{.rotate = trial % 2 == 0, .center = trial % 4 < 2};
    problem.attend(execution, FullMask{}, options, trial % 3 == 0);
    const auto expected = problem.expected(fp8_sees_all, fp8_no_bias);
    check_fp8(problem, expected, fp8_sees_all, fp8_no_bias);
    if (trial % 3 != 0) return;
    const auto log_sum_exp = bring(problem.there_log_sum_exp);
    for (index_t i = 0; i < log_sum_exp.size(); ++i)
      BOOST_CHECK_SMALL(log_sum_exp[i] - expected.log_sum_exp[std::size_t(i)], 0.3);
  });
}

template <class T, Execution E>
void causal_fp8_attention_agrees_with_the_oracle(E execution) {
  on_fp8_problems<T>(execution, 12, [&](std::mt19937&, const Fp8Problem<T, E>& problem, int trial) {
    problem.attend(execution, CausalMask{}, {}, trial % 2 == 0);
    check_fp8(problem, problem.expected(fp8_sees_past, fp8_no_bias), fp8_sees_past, fp8_no_bias);
  });
}

template <class T, Execution E>
void alibi_fp8_attention_agrees_with_the_oracle(E execution) {
  on_fp8_problems<T>(execution, 6, [&](std::mt19937& engine, const Fp8Problem<T, E>& problem, int) {
    const auto slopes = random_normal<float>(problem.extents.heads, engine, 0.5f);
    const auto carried = carry(execution, slopes);
    problem.attend(execution, SqrtAlibiMask{carried.vector()}, {}, false);
    const auto bias = [&](index_t head, index_t query, index_t key) {
      return -double(slopes[head]) * std::sqrt(double(query - key));
    };
    check_fp8(problem, problem.expected(fp8_sees_past, bias), fp8_sees_past, bias);
  });
}

template <class T, Execution E>
void padded_keys_receive_no_weight_in_fp8(E execution) {
  on_fp8_problems<T>(execution, 12, [&](std::mt19937& engine, Fp8Problem<T, E> problem, int) {
    const auto& e = problem.extents;
    Buffer<index_t> lengths(e.batch);
    for (index_t& length : lengths) length = random_int(engine, -2, static_cast<int>(e.keys) + 2);
    for (index_t b = 0; b < e.batch; ++b)
      for (index_t key = std::max<index_t>(lengths[b], 0); key < e.keys; ++key)
        for (index_t group = 0; group < e.groups; ++group)
          for (index_t i = 0; i < e.dim; ++i)
            problem.keys.view.row(b, key, group)[i] = problem.values.view.row(b, key, group)[i] = T(INFINITY);
    problem.carry_inputs(execution);
    const auto carried = carry(execution, lengths);
    const KeyPrefixMask mask{carried.vector()};
    problem.attend(execution, mask, {}, true);
    const auto sees = [&](index_t b, index_t, index_t key) { return key < lengths[b]; };
    auto expected = problem.expected(sees, fp8_no_bias);
    const auto log_sum_exp = bring(problem.there_log_sum_exp);
    const std::size_t of_element = std::size_t(e.queries * e.heads);
    for (std::size_t i = 0; i < expected.log_sum_exp.size(); ++i)
      if (lengths[index_t(i / of_element)] <= 0) BOOST_REQUIRE_EQUAL(log_sum_exp[index_t(i)], -INFINITY);
    for (std::size_t i = 0; i < expected.out.size(); ++i)
      if (lengths[index_t(i / of_element / std::size_t(e.dim))] <= 0) expected.out[i] = 0;
    check_fp8(problem, expected, sees, fp8_no_bias);
  });
}

/// Against operands as fp8 holds them only the weights' rounding is left. The host quantises: the kernel
/// takes more heads than the device does.
template <class T, Execution E>
void fp8_attention_of_quantised_operands_agrees_with_the_oracle(E execution) {
  constexpr index_t dims[] = {128, 64, 16, 112, 48, 80};
  const auto test = [&](std::mt19937&, const Fp8Problem<T, E>& problem, int) {
    const auto& e = problem.extents;
    const HeadsView<const T> host_queries = problem.queries.view, host_keys = problem.keys.view;
    const Buffer<std::byte> memory(
        static_cast<index_t>(fp8_attention_workspace(host, host_queries, host_keys)));
    const auto there = quantize_attention<T>(host, host_queries, host_keys, problem.values.view,
                                             {.rotate = has_hadamard(e.dim)}, true, Workspace(memory));
    const auto carried = carry(execution, memory);
    const auto operands = Fp8Operands::in<T>(Workspace(carried), host_queries, host_keys);
    fp8_attention(execution, QuantizedHeads<const fp8_e4m3>(operands.queries),
                  QuantizedHeads<const fp8_e4m3>(operands.keys),
                  QuantizedValues<const fp8_e4m3>(operands.values), FullMask{},
                  problem.out.in(problem.there_out),
                  {.scale = problem.scale, .log_sum_exp = problem.log_sum_exp()});

    const auto dequantised = [&](const QuantizedHeads<fp8_e4m3>& heads) {
      const auto& view = heads.values;
      Buffer<float> values(view.batch * view.tokens * view.heads * view.dim);
      const auto target =
          HeadsView<float>::dense(values.data(), view.batch, view.tokens, view.heads, view.dim);
      for (index_t b = 0; b < view.batch; ++b)
        for (index_t t = 0; t < view.tokens; ++t)
          for (index_t h = 0; h < view.heads; ++h)
            for (index_t i = 0; i < view.dim; ++i)
              target.row(b, t, h)[i] = float(view.row(b, t, h)[i]) * heads.scale(b, t / 128, h);
      return values;
    };
    const auto q = dequantised(there.queries), k = dequantised(there.keys);
    Buffer<float> v(k.size());
    const auto values = HeadsView<float>::dense(v.data(), e.batch, e.keys, e.groups, e.dim);
    const auto& codes = there.values;
    for (index_t b = 0; b < e.batch; ++b)
      for (index_t h = 0; h < e.groups; ++h)
        for (index_t i = 0; i < e.dim; ++i)
          for (index_t position = 0; position < codes.codes.dim; ++position) {
            const index_t t = position / 16 * 16 + oracle::tokens_at_positions[position % 16];
            if (t < e.keys)
              values.row(b, t, h)[i] =
                  codes.means.row(b, 0, h)[i] +
                  codes.scales.row(b, 0, h)[i] * float(codes.codes.row(b, i, h)[position]);
          }
    const auto queries = HeadsView<const float>::dense(q.data(), e.batch, e.queries, e.heads, e.dim),
               keys = HeadsView<const float>::dense(k.data(), e.batch, e.keys, e.groups, e.dim);
    const auto expected = oracle::attention<float>(queries, keys, HeadsView<const float>(values),
                                                   problem.scale, fp8_sees_all, fp8_no_bias);
    const auto results = problem.results();
    BOOST_CHECK_EQUAL(problem.numbers(), std::ssize(results));
    STEPVIDEO_CHECK_CLOSE(results, expected.out, 0.035);
    auto allowed = fp8_allowed_errors<float>(queries, keys, values, problem.scale, fp8_sees_all, fp8_no_bias,
                                             expected, {.products = 0, .weights = 0.026, .values = 0});
    for (std::size_t i = 0; i < allowed.size(); ++i) allowed[i] += half_unit<T>(expected.out[i]);
    const WorstElement worst = worst_of_allowed(results, expected.out, allowed);
    BOOST_CHECK_MESSAGE(worst.share <= 1, "element " << worst.at << " is " << worst.actual << " for "
                                                     << worst.expected << ", " << worst.share
                                                     << " times what it may lose");
    const auto log_sum_exp = bring(problem.there_log_sum_exp);
    for (index_t i = 0; i < log_sum_exp.size(); ++i)
      BOOST_CHECK_SMALL(log_sum_exp[i] - expected.log_sum_exp[std::size_t(i)], 2.5e-2);
  };
  on_fp8_problems<T>(execution, 12, test, dims);
}

/// Keys are walked from the last to the first: here each tile's scores are far above all before.
template <class T, Execution E>
void rising_scores_leave_no_trace_of_lower_ones(E execution) {
  std::mt19937 engine(53);
  Fp8Problem<T, E> problem(execution, engine, {.queries = 70, .keys = 700});
  for (index_t t = 0; t < 700; ++t)
    for (index_t i = 0; i < 128; ++i)
      problem.keys.view.row(0, t, 0)[i] = T(i == 0 ? float(6 - t / 128) * 60 : 0.0f);
  for (index_t t = 0; t < 70; ++t)
    for (index_t i = 0; i < 128; ++i)
      problem.queries.view.row(0, t, 0)[i] = T(i == 0 ? 20.0f + float(t % 7) : 0.0f);
  problem.carry_inputs(execution);
  problem.attend(execution, FullMask{}, {.rotate = false, .center = false}, true);
  // All keys of a tile are alike: what their products lose is the same for each.
  check_fp8(problem, problem.expected(fp8_sees_all, fp8_no_bias), fp8_sees_all, fp8_no_bias, {.products = 0});
}

/// Operands without keys, queries or batch elements, in the workspaces that they ask for.
template <class T, Execution E>
void nothing_to_attend_with_gives_zeros(E execution) {
  std::mt19937 engine(67);
  for (const bool center : {true, false}) {
    const Fp8Problem<T, E> blind(execution, engine,
                                 {.batch = 2, .queries = 5, .keys = 0, .heads = 2, .groups = 1});
    blind.attend(execution, FullMask{}, {.center = center}, true);
    for (const double result : blind.results()) BOOST_REQUIRE_EQUAL(result, 0.0);
    const auto sums = bring(blind.there_log_sum_exp);
    for (const float sum : sums) BOOST_REQUIRE_EQUAL(sum, -INFINITY);
    for (const Fp8Extents& none :
         {Fp8Extents{.queries = 0, .keys = 7}, Fp8Extents{.batch = 0, .queries = 3, .keys = 7},
          Fp8Extents{.queries = 0, .keys = 0}})
      Fp8Problem<T, E>(execution, engine, none).attend(execution, CausalMask{}, {.center = center}, false);
  }
}

/// Of many elements in a result of fp8 a row that is zero, one element that is its negative, or one that is
/// not a number.
template <class T, Execution E>
void corrupted_results_exceed_their_budget(E execution) {
  std::mt19937 engine(71);
  const Fp8Problem<T, E> problem(execution, engine, {.queries = 230, .keys = 300, .heads = 2, .groups = 2});
  problem.attend(execution, FullMask{}, {}, false);
  const auto expected = problem.expected(fp8_sees_all, fp8_no_bias);
  const auto allowed = fp8_allowed_errors<T>(problem.queries.view, problem.keys.view, problem.values.view,
                                             problem.scale, fp8_sees_all, fp8_no_bias, expected, {});
  const auto good = problem.results();
  const auto share = [&](const std::vector<double>& results) {
    return worst_of_allowed(results, expected.out, allowed).share;
  };
  BOOST_CHECK_LE(share(good), 1.0);
  int found = 0, tried = 0;
  for (std::size_t row = 0; row < good.size(); row += 128 * 7) {
    auto corrupted = good;
    std::fill_n(corrupted.begin() + std::ptrdiff_t(row), 128, 0.0);
    BOOST_CHECK_GT(share(corrupted), 1.0);
    corrupted = good;
    corrupted[row + row / 128 % 128] *= -1;
    found += share(corrupted) > 1, ++tried;
    corrupted[row] = NAN;
    BOOST_CHECK_GT(share(corrupted), 1.0);
  }
  BOOST_TEST_MESSAGE(found << " of " << tried << " negated elements were found");
  BOOST_CHECK_GE(10 * found, 7 * tried);
}

/// FlashAttention-3's measure is absolute: 9.1e-3 on such inputs.
template <class T, Execution E>
void outliers_cost_no_more_than_published(E execution, index_t keys) {
  std::mt19937 engine(59);
  const Fp8Problem<T, E> problem(execution, engine, {.queries = 128, .keys = keys, .outliers = true});
  problem.attend(execution, FullMask{}, {}, false);
  const auto results = problem.results();
  const auto expected = problem.expected(fp8_sees_all, fp8_no_bias);
  double squares = 0;
  for (std::size_t i = 0; i < results.size(); ++i)
    squares += (results[i] - expected.out[i]) * (results[i] - expected.out[i]);
  const double error = std::sqrt(squares / double(results.size()));
  BOOST_TEST_MESSAGE("absolute error on outliers: " << error << ", relative "
                                                    << relative_error(results, expected.out));
  BOOST_CHECK_LE(error, 1.2e-2);
  check_fp8(problem, expected, fp8_sees_all, fp8_no_bias);
}

}  // namespace stepvideo::testing
