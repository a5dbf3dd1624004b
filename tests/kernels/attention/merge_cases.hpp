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
    // The whole's keys, the parts' result.
    AttentionProblem<T> merged = with_keys(problem, engine, 0, keys);
    std::vector<T> elements;
    for_each_element(into.out.view, [&](index_t, T element) { elements.push_back(element); });
    for_each_element(merged.out.view, [&](index_t i, T& element) { element = elements[std::size_t(i)]; });
    std::vector<float> sums;
    for_each_element(into.log_sum_exp.view, [&](index_t, float element) { sums.push_back(element); });
    for_each_element(merged.log_sum_exp.view,
                     [&](index_t i, float& element) { element = sums[std::size_t(i)]; });
    budget.judge(merged, sees_all, no_bias);
  });
}

}  // namespace stepvideo::testing
