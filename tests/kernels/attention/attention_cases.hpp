// The cases of attention, for any execution: `attend(problem, mask, options)` works on a problem's host
// buffers, in whatever memory it likes, with options.log_sum_exp in the problem's.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <stepvideo/kernels/attention/attention.hpp>

#include "kernels/attention/attention_problem.hpp"

namespace stepvideo::testing {

/// What an execution builds, and how much of it a case tries.
struct AttentionLimits {
  std::vector<index_t> dims;
  int trials = 40;
};

inline constexpr auto no_bias = [](index_t, index_t, index_t) { return 0.0f; };
inline constexpr auto sees_all = [](index_t, index_t, index_t) { return true; };
inline constexpr auto sees_past = [](index_t, index_t query, index_t key) { return key <= query; };

/// Shapes around the edges of tiles.
inline AttentionExtents random_extents(std::mt19937& engine, const AttentionLimits& limits) {
  const int tokens[] = {1,  2,   7,   15,  16,  17,  31,  33,  63,  64,  65,  95, 96,
                        97, 108, 127, 128, 129, 175, 176, 177, 255, 256, 257, 400};
  const auto any = [&](const auto& from) {
    return from[static_cast<std::size_t>(random_int(engine, 0, static_cast<int>(std::size(from)) - 1))];
  };
  const int groups = random_int(engine, 1, 2);
  return {.batch = random_int(engine, 1, 2),
          .queries = any(tokens),
          .keys = any(tokens),
          .heads = groups * random_int(engine, 1, 3),
          .groups = groups,
          .dim = any(limits.dims)};
}

/// `test(engine, problem, budget)` for many random problems.
template <class T, class Test>
void on_random_problems(const AttentionLimits& limits, unsigned seed, Test&& test) {
  std::mt19937 engine(seed);
  ErrorBudget<T> budget;
  for (int trial = 0; trial < limits.trials; ++trial) {
    const AttentionProblem<T> problem(engine, random_extents(engine, limits));
    test(engine, problem, budget);
  }
  budget.check();
}

template <class T, class Attend>
void full_attention_agrees(Attend&& attend, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 29, [&](std::mt19937&, const auto& problem, ErrorBudget<T>& budget) {
    attend(problem, FullMask{});
    budget.judge(problem, sees_all, no_bias);
  });
}

template <class T, class Attend>
void causal_attention_agrees(Attend&& attend, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 30, [&](std::mt19937&, const auto& problem, ErrorBudget<T>& budget) {
    attend(problem, CausalMask{});
    budget.judge(problem, sees_past, no_bias);
  });
}

template <class T, class Attend>
void square_root_alibi_agrees(Attend&& attend, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 31, [&](std::mt19937& engine, const auto& problem, ErrorBudget<T>& budget) {
    const auto slopes = random_normal<float>(problem.extents.heads, engine, 0.5f);
    attend(problem, SqrtAlibiMask{slopes.vector()});
    budget.judge(problem, sees_past, [&](index_t head, index_t query, index_t key) {
      return -slopes[head] * std::sqrt(static_cast<float>(query - key));
    });
  });
}

template <class T, class Attend>
void bottom_right_causal_attention_agrees(Attend&& attend, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 43, [&](std::mt19937& engine, const auto& problem, ErrorBudget<T>& budget) {
    const auto& e = problem.extents;
    const index_t before =
        random_int(engine, 0, 2) > 0 ? e.keys - e.queries : random_int(engine, -3, static_cast<int>(e.keys));
    attend(problem, BottomRightCausalMask{before});
    budget.judge(
        problem, [&](index_t, index_t query, index_t key) { return key <= query + before; }, no_bias);
  });
}

/// Makes keys and values NaN that stand before `end`.
template <class T>
void poison_first_keys(const AttentionProblem<T>& problem, index_t end) {
  const auto& e = problem.extents;
  for (index_t b = 0; b < e.batch; ++b)
    for (index_t key = 0; key < std::min(end, e.keys); ++key)
      for (index_t group = 0; group < e.groups; ++group)
        for (index_t i = 0; i < e.dim; ++i)
          problem.keys.view.row(b, key, group)[i] = problem.values.view.row(b, key, group)[i] = T(NAN);
}

/// Windows over a few tokens and over many, in the middle of a cache, too. What lies more than a tile of keys
/// before the first window is NaN, which shows whether it is touched.
template <class T, class Attend>
void sliding_windows_agree(Attend&& attend, const AttentionLimits& limits) {
  const auto try_window = [&](const AttentionProblem<T>& problem, WindowMask mask, ErrorBudget<T>& budget) {
    constexpr index_t widest_tile = 128;
    poison_first_keys(problem, mask.keys_before - mask.before - widest_tile);
    attend(problem, mask);
    budget.judge(
        problem,
        [&](index_t, index_t query, index_t key) {
          const index_t distance = key - (query + mask.keys_before);
          return distance >= -mask.before && distance <= mask.after;
        },
        no_bias);
  };
  on_random_problems<T>(limits, 44, [&](std::mt19937& engine, const auto& problem, ErrorBudget<T>& budget) {
    const auto& e = problem.extents;
    const index_t widths[] = {0, 1, 30, 100, unlimited_keys};
    try_window(problem,
               {.before = widths[random_int(engine, 0, 4)],
                .after = widths[random_int(engine, 0, 4)],
                .keys_before = random_int(engine, 0, 1) * (e.keys - e.queries)},
               budget);
  });
  std::mt19937 engine(45);
  ErrorBudget<T> budget;
  const index_t dim = std::min<index_t>(limits.dims.back(), 128);
  try_window(AttentionProblem<T>{engine, {.queries = 700, .keys = 1500, .heads = 2, .groups = 1, .dim = dim}},
             {.before = 250, .keys_before = 800}, budget);
  try_window(
      AttentionProblem<T>{engine,
                          {.batch = 2, .queries = 900, .keys = 900, .heads = 2, .groups = 2, .dim = dim}},
      {.before = 77, .after = 130}, budget);
}

/// The starts of `sequences` sequences of `tokens` tokens in all, some of them empty.
inline std::vector<std::int32_t> random_starts(std::mt19937& engine, index_t tokens, int sequences) {
  std::vector<std::int32_t> starts{0};
  for (int i = 1; i < sequences; ++i) starts.push_back(random_int(engine, 0, static_cast<int>(tokens)));
  starts.push_back(static_cast<std::int32_t>(tokens));
  std::ranges::sort(starts);
  return starts;
}

/// Sequences of any lengths, of as many queries as keys and of others, whole, causal and under a window; the
/// last tokens may belong to none.
template <class T, class Attend>
void packed_sequences_agree(Attend&& attend, const AttentionLimits& limits) {
  const auto try_sequences = [&](const AttentionProblem<T>& problem, std::mt19937& engine, int sequences,
                                 ErrorBudget<T>& budget) {
    const auto& e = problem.extents;
    const bool leaves_tokens = random_int(engine, 0, 3) == 0;
    auto queries = random_starts(engine, e.queries - (leaves_tokens && e.queries > 3 ? 3 : 0), sequences);
    auto keys = e.keys == e.queries ? queries : random_starts(engine, e.keys, sequences);
    PackedMask mask{.query_starts = {queries.data(), static_cast<index_t>(queries.size())},
                    .key_starts = {keys.data(), static_cast<index_t>(keys.size())}};
    const index_t befores[] = {unlimited_keys, unlimited_keys, 40}, afters[] = {unlimited_keys, 0, 0};
    const int kind = random_int(engine, 0, 2);
    mask.before = befores[kind], mask.after = afters[kind];
    attend(problem, mask);
    budget.judge(
        problem,
        [&](index_t, index_t query, index_t key) {
          for (int s = 0; s < sequences; ++s) {
            if (query < queries[s] || query >= queries[s + 1] || key < keys[s] || key >= keys[s + 1])
              continue;
            const index_t from_query_to_end = queries[s + 1] - query, from_key_to_end = keys[s + 1] - key;
            const index_t distance = from_query_to_end - from_key_to_end;  // of the key behind the query
            return -distance <= mask.before && distance <= mask.after;
          }
          return false;
        },
        no_bias);
  };
  on_random_problems<T>(limits, 46, [&](std::mt19937& engine, const auto& problem, ErrorBudget<T>& budget) {
    try_sequences(problem, engine, random_int(engine, 1, 6), budget);
  });
  std::mt19937 engine(47);
  ErrorBudget<T> budget;
  for (const index_t keys : {1400, 1100}) {
    const AttentionProblem<T> problem(engine, {.queries = 1400,
                                               .keys = keys,
                                               .heads = 2,
                                               .groups = 1,
                                               .dim = std::min<index_t>(limits.dims.back(), 128)});
    for (int i = 0; i < 3; ++i) try_sequences(problem, engine, 5, budget);
  }
}

/// A mask of one's own: every key is seen, those after the query too, and costs by its distance. It has no
/// default constructor.
struct DistanceBias {
  float slope;

  explicit constexpr DistanceBias(float slope_of_distance) : slope(slope_of_distance) {}
  constexpr index_t visible_keys(index_t, index_t, index_t keys) const { return keys; }
  constexpr float bias(index_t, index_t query, index_t key) const {
    return -slope * static_cast<float>(query < key ? key - query : query - key);
  }
};

template <class T, class Attend>
void a_bias_on_both_sides_agrees(Attend&& attend, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 36, [&](std::mt19937&, const auto& problem, ErrorBudget<T>& budget) {
    attend(problem, DistanceBias(0.05f));
    budget.judge(problem, sees_all, [](index_t, index_t query, index_t key) {
      return -0.05f * std::abs(static_cast<float>(query - key));
    });
  });
}

/// Makes what lies behind each batch element's keys NaN.
template <class T>
void poison_padding(const AttentionProblem<T>& problem, const Buffer<index_t>& lengths) {
  const auto& e = problem.extents;
  for (index_t b = 0; b < e.batch; ++b)
    for (index_t key = std::max<index_t>(lengths[b], 0); key < e.keys; ++key)
      for (index_t group = 0; group < e.groups; ++group)
        for (index_t i = 0; i < e.dim; ++i)
          problem.keys.view.row(b, key, group)[i] = problem.values.view.row(b, key, group)[i] = T(NAN);
}

/// Lengths from below zero to beyond the keys; padding is NaN, which shows whether it is touched.
template <class T, class Attend>
void padded_keys_receive_no_weight(Attend&& attend, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 32, [&](std::mt19937& engine, const auto& problem, ErrorBudget<T>& budget) {
    const auto& e = problem.extents;
    Buffer<index_t> lengths(e.batch);
    for (index_t& length : lengths) length = random_int(engine, -3, static_cast<int>(e.keys) + 3);
    if (e.keys % 3 == 0) lengths[0] = e.keys % 2 == 0 ? -(index_t{1} << 32) + 1 : (index_t{1} << 32) + 1;
    poison_padding(problem, lengths);
    attend(problem, KeyPrefixMask{lengths.vector()});
    budget.judge(
        problem, [&](index_t batch, index_t, index_t key) { return key < lengths[batch]; }, no_bias);
  });
}

/// More tiles of queries than a GPU has multiprocessors: blocks go from tile to tile, head to head and prompt
/// to prompt. What is hidden is NaN.
template <class T, class Attend>
void blocks_work_through_prompts_of_any_length(Attend&& attend) {
  std::mt19937 engine(37);
  ErrorBudget<T> budget;
  const auto attend_to_prompts = [&](const std::vector<index_t>& prompts, AttentionExtents extents) {
    extents.batch = static_cast<index_t>(prompts.size());
    const AttentionProblem<T> problem(engine, extents);
    Buffer<index_t> lengths(extents.batch);
    std::ranges::copy(prompts, lengths.begin());
    poison_padding(problem, lengths);
    attend(problem, KeyPrefixMask{lengths.vector()});
    budget.judge(
        problem, [&](index_t batch, index_t, index_t key) { return key < lengths[batch]; }, no_bias);
  };
  attend_to_prompts({200, 0, 397, 1, 112, 225, 224},
                    {.queries = 260, .keys = 397, .heads = 12, .groups = 6, .dim = 128});
  // Several prompts to a block, whose last tiles of keys are short here and full there.
  std::vector<index_t> prompts(90);
  for (index_t& length : prompts) length = std::uniform_int_distribution<index_t>(0, 260)(engine);
  attend_to_prompts(prompts, {.queries = 20, .keys = 250, .heads = 6, .groups = 3, .dim = 128});
  // So many keys that blocks take tiles in turn.
  std::vector<index_t> long_prompts(48);
  for (index_t& length : long_prompts) length = std::uniform_int_distribution<index_t>(0, 4200)(engine);
  attend_to_prompts(long_prompts, {.queries = 3, .keys = 4200, .heads = 4, .groups = 1, .dim = 128});

  const AttentionProblem<T> whole(
      engine, {.batch = 3, .queries = 65, .keys = 230, .heads = 80, .groups = 40, .dim = 128});
  attend(whole, FullMask{});
  budget.judge(whole, sees_all, no_bias);
  attend(whole, CausalMask{});
  budget.judge(whole, sees_past, no_bias);
  budget.check();
}

template <class T>
void require_empty(const AttentionProblem<T>& problem, index_t batch) {
  for (index_t token = 0; token < problem.extents.queries; ++token)
    for (index_t head = 0; head < problem.extents.heads; ++head) {
      for (index_t i = 0; i < problem.extents.dim; ++i)
        BOOST_REQUIRE_EQUAL(float(problem.out.view.row(batch, token, head)[i]), 0.0f);
      BOOST_REQUIRE_EQUAL(*problem.log_sum_exp.view.row(batch, token, head), -INFINITY);
    }
}

template <class T, class Attend>
void a_query_without_keys_gets_zeros_and_minus_infinity(Attend&& attend) {
  std::mt19937 engine(1);
  const AttentionProblem<T> none(engine, {.batch = 2, .queries = 5, .keys = 0, .heads = 3, .groups = 3});
  attend(none, FullMask{});
  require_empty(none, 0), require_empty(none, 1);
  attend(none, CausalMask{});
  require_empty(none, 0), require_empty(none, 1);

  const AttentionProblem<T> some(engine, {.batch = 2, .queries = 5, .keys = 7, .heads = 3, .groups = 1});
  Buffer<index_t> lengths(2);
  lengths[0] = 0, lengths[1] = 7;
  attend(some, KeyPrefixMask{lengths.vector()});
  require_empty(some, 0);
  for (index_t token = 0; token < 5; ++token)
    for (index_t head = 0; head < 3; ++head)
      BOOST_REQUIRE(std::isfinite(*some.log_sum_exp.view.row(1, token, head)));

  const AttentionProblem<T> nobody(engine, {.queries = 0, .keys = 7});
  attend(nobody, FullMask{});
}

/// Queries and keys scaled by 30: scores of tens of thousands, of which one per query decides.
template <class T, class Attend>
void large_scores_do_not_overflow(Attend&& attend, index_t dim) {
  std::mt19937 engine(8);
  ErrorBudget<T> budget;
  for (const index_t keys : {40, 150, 333}) {
    const AttentionProblem<T> problem(
        engine, {.queries = 70, .keys = keys, .heads = 2, .groups = 2, .dim = dim}, 30.0f);
    attend(problem, FullMask{});
    budget.judge(problem, sees_all, no_bias);
  }
}

/// Scores that rise along the keys make every tile raise the maximum; a scale below zero turns the order
/// round, a scale of zero makes all keys equal.
template <class T, class Attend>
void any_scale_and_any_order_of_scores(Attend&& attend, index_t dim) {
  std::mt19937 engine(18);
  ErrorBudget<T> budget;
  for (const float scale : {0.3f, -0.3f, 0.0f}) {
    AttentionProblem<T> problem(engine, {.queries = 60, .keys = 300, .heads = 2, .groups = 1, .dim = dim});
    problem.scale = scale;
    for (index_t key = 0; key < 300; ++key)
      for (index_t i = 0; i < dim; ++i)
        problem.keys.view.row(0, key, 0)[i] =
            T(float(problem.queries.view.row(0, 0, 0)[i]) * 0.01f * static_cast<float>(key));
    attend(problem, FullMask{});
    budget.judge(problem, sees_all, no_bias);
  }
  budget.check();
}

template <class T, class Attend>
void a_nan_in_a_query_reaches_its_result_and_no_other(Attend&& attend) {
  std::mt19937 engine(9);
  const AttentionProblem<T> problem(engine, {.queries = 20, .keys = 70});
  problem.queries.view.row(0, 3, 0)[10] = T(NAN);
  attend(problem, FullMask{});
  for (index_t query = 0; query < 20; ++query)
    for (index_t i = 0; i < 64; ++i)
      BOOST_REQUIRE_EQUAL(std::isnan(float(problem.out.view.row(0, query, 0)[i])), query == 3);
}

/// `attention(queries, keys, values, mask, out, options)` may refuse host memory for its shapes alone:
/// nothing is read.
template <class T, class Attention>
void views_that_do_not_fit_are_refused_by_name(Attention&& attention) {
  const Buffer<T> memory(1 << 16);
  const auto view = [&](index_t tokens, index_t heads, index_t dim) {
    return HeadsView<T>::dense(memory.data(), 1, tokens, heads, dim);
  };
  const auto refused = [&](auto queries, auto keys, auto values, auto out, const auto& mask,
                           const AttentionOptions& options, const char* text) {
    BOOST_CHECK_EXCEPTION(attention(queries, keys, values, mask, out, options), RequestError,
                          [&](const RequestError& error) {
                            BOOST_TEST_MESSAGE(error.what());
                            return std::string(error.what()).find(text) != std::string::npos;
                          });
  };
  const FullMask full;
  refused(view(3, 2, 64), view(4, 2, 128), view(4, 2, 128), view(3, 2, 64), full, {},
          "batch and head dimension");
  refused(view(3, 3, 64), view(4, 2, 64), view(4, 2, 64), view(3, 3, 64), full, {},
          "3 query heads cannot share 2 key heads");
  refused(view(3, 2, 64), view(4, 2, 64), view(5, 2, 64), view(3, 2, 64), full, {}, "values (1, 5, 2, 64)");
  refused(view(3, 2, 64), view(4, 2, 64), view(4, 2, 64), view(4, 2, 64), full, {}, "out is (1, 4, 2, 64)");
  float one = 0;
  refused(view(3, 2, 64), view(4, 2, 64), view(4, 2, 64), view(3, 2, 64), full,
          {.log_sum_exp = HeadsView<float>::dense(&one, 1, 1, 1, 1)}, "log_sum_exp is (1, 1, 1, 1)");
  refused(view(3, 2, 64), view(4, 2, 64), view(4, 2, 64), view(3, 2, 64), full, {.scale = NAN},
          "the scale is nan");
  refused(view(3, 2, 64), view(4, 2, 64), view(4, 2, 64), view(3, 2, 64), full, {.scale = -INFINITY},
          "the scale is -inf");
  const auto nowhere = HeadsView<T>::dense(nullptr, 1, 4, 2, 64), here = view(4, 2, 64);
  refused(nowhere, here, here, here, full, {}, "queries are (1, 4, 2, 64) and have no data");
  refused(here, nowhere, here, here, full, {}, "keys are (1, 4, 2, 64) and have no data");
  refused(here, here, nowhere, here, full, {}, "values are (1, 4, 2, 64) and have no data");
  refused(here, here, here, nowhere, full, {}, "the results are (1, 4, 2, 64) and have no data");
  refused(here, here, here, here, KeyPrefixMask{{nullptr, 1}}, {}, "the key lengths have no data");
  refused(here, here, here, here, SqrtAlibiMask{{nullptr, 2}}, {}, "the slopes have no data");
  refused(view(3, 2, 64), view(4, 2, 64), view(4, 2, 64), view(3, 2, 64), KeyPrefixMask{{nullptr, 2}}, {},
          "2 key lengths for a batch of 1");
  refused(view(3, 2, 64), view(4, 2, 64), view(4, 2, 64), view(3, 2, 64), SqrtAlibiMask{{&one, 1}}, {},
          "1 slopes for 2 query heads");
  std::int32_t starts[2] = {};
  refused(here, here, here, here, PackedMask{{starts, 2}, {starts, 1}}, {},
          "2 starts of queries and 1 of keys");
  refused(here, here, here, here, PackedMask{{nullptr, 2}, {starts, 2}}, {},
          "the starts of sequences have no");
  refused(here, here, here, here, PackedMask{{starts, 2}, {starts, 2}, -1}, {}, "a window of -1 keys before");
  refused(here, here, here, here, WindowMask{.before = 3, .after = -2}, {}, "-2 after it");
}

}  // namespace stepvideo::testing
