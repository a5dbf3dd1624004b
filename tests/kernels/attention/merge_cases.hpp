// Attention over parts of the keys, merged, for any execution.
#pragma once
#include <stepvideo/kernels/attention/merge.hpp>

#include "kernels/attention/attention_cases.hpp"

namespace stepvideo::testing {

/// A problem of its own over the keys [first, end) of another.
template <class T>
AttentionProblem<T> with_keys(const AttentionProblem<T>& whole, std::mt19937& engine, index_t first,
                              index_t end) {
  AttentionExtents extents = whole.extents;
  extents.keys = end - first;
  AttentionProblem<T> part(engine, extents);
  const auto take = [](HeadsView<T> from, HeadsView<T> to, index_t skipped) {
    from.data += skipped * from.token_stride, from.tokens = to.tokens;
    std::vector<T> elements;
    for_each_element(from, [&](index_t, T element) { elements.push_back(element); });
    for_each_element(to, [&](index_t i, T& element) { element = elements[static_cast<std::size_t>(i)]; });
  };
  take(whole.queries.view, part.queries.view, 0);
  take(whole.keys.view, part.keys.view, first);
  take(whole.values.view, part.values.view, first);
  return part;
}

/// A problem of its own with the inputs of one and the results of another.
template <class T>
AttentionProblem<T> with_results(const AttentionProblem<T>& inputs, const AttentionProblem<T>& results) {
  std::mt19937 engine(0);
  AttentionProblem<T> joined = with_keys(inputs, engine, 0, inputs.extents.keys);
  const auto take = [](const auto& from, const auto& to) {
    std::vector<std::remove_cvref_t<decltype(*from.data)>> elements;
    for_each_element(from, [&](index_t, auto element) { elements.push_back(element); });
    for_each_element(to, [&](index_t i, auto& element) { element = elements[std::size_t(i)]; });
  };
  take(results.out.view, joined.out.view);
  take(results.log_sum_exp.view, joined.log_sum_exp.view);
  return joined;
}

/// `merge(other, into)` merges the results of one problem into another's. The first part may be empty.
template <class T, class Attend, class Merge>
void parts_of_the_keys_merge_into_the_whole(Attend&& attend, Merge&& merge, const AttentionLimits& limits) {
  on_random_problems<T>(limits, 33, [&](std::mt19937& engine, auto& problem, ErrorBudget<T>& budget) {
    const int keys = static_cast<int>(problem.extents.keys);
    const index_t first = random_int(engine, 0, std::min(1, keys)),
                  second = random_int(engine, int(first), keys);
    const auto into = with_keys(problem, engine, 0, first);
    attend(into, FullMask{});
    for (const auto& [from, to] : {std::pair{first, second}, std::pair{second, index_t{keys}}}) {
      const auto other = with_keys(problem, engine, from, to);
      attend(other, FullMask{});
      merge(other, into);
    }
    budget.judge(with_results(problem, into), sees_all, no_bias, 3);
  });
}

}  // namespace stepvideo::testing
