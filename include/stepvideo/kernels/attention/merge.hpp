// Joining attention over one part of the keys with attention over another.
#pragma once
#include <concepts>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/attention/softmax_state.hpp>
#include <stepvideo/kernels/tile/alignment.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// What merge_attention requires, on any execution.
template <class T>
void require_merge_shapes(HeadsView<const T> other, HeadsView<const float> other_log_sum_exp,
                          HeadsView<T> into, HeadsView<float> into_log_sum_exp) {
  const auto agrees = [&](const auto& view, index_t dim) {
    return view.batch == into.batch && view.tokens == into.tokens && view.heads == into.heads &&
           view.dim == dim;
  };
  require(agrees(other, into.dim) && agrees(other_log_sum_exp, 1) && agrees(into_log_sum_exp, 1), [&] {
    return "merge_attention: both results must be (batch, tokens, heads, dim) and both log_sum_exp (batch, "
           "tokens, "
           "heads, 1); the result to merge into is " +
           shape_text(into);
  });
  require_data("merge_attention: the result to merge", other);
  require_data("merge_attention: the log_sum_exp of the result to merge", other_log_sum_exp);
  require_data("merge_attention: the result to merge into", into);
  require_data("merge_attention: the log_sum_exp of the result to merge into", into_log_sum_exp);
}

/// What keeps the device's merge_attention from moving 16 bytes at a time, its fast path; nothing where it
/// does.
template <class T>
Misalignment merge_attention_misalignment(HeadsView<const T> other, HeadsView<T> into) {
  return first_of(misalignment("the result to merge", other), misalignment("the result to merge into", into));
}

/// Two calls of attention over disjoint keys become one over both: `into` and its log-sum-exp take in
/// `other`. Exact up to rounding and independent of the order up to rounding; a part that saw no key changes
/// nothing. Throws RequestError where shapes disagree or data is missing.
template <HostElement T>
void merge_attention(Host, std::type_identity_t<HeadsView<const T>> other,
                     HeadsView<const float> other_log_sum_exp, HeadsView<T> into,
                     HeadsView<float> into_log_sum_exp) {
  require_merge_shapes<T>(other, other_log_sum_exp, into, into_log_sum_exp);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < into.batch; ++batch)
    for (index_t token = 0; token < into.tokens; ++token)
      for (index_t head = 0; head < into.heads; ++head) {
        float& log_sum_exp = *into_log_sum_exp.row(batch, token, head);
        auto state = SoftmaxState::from_log_sum_exp(log_sum_exp);
        const auto added = SoftmaxState::from_log_sum_exp(*other_log_sum_exp.row(batch, token, head));
        const MergeFactors factors = merge(state, added);
        const float inverse = state.is_empty() ? 0.0f : 1.0f / state.sum;
        const T* source = other.row(batch, token, head);
        T* target = into.row(batch, token, head);
#pragma omp simd
        for (index_t i = 0; i < into.dim; ++i)
          round_into(target[i],
                     (float(target[i]) * factors.into + float(source[i]) * factors.other) * inverse);
        log_sum_exp = state.log_sum_exp();
      }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct MergeAttention;
}  // namespace calls

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::MergeAttention, D>) void merge_attention(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::MergeAttention, D>, "merge_attention on a Device is in <stepvideo/kernels/attention/merge.cuh>, which nvcc compiles");
  // clang-format on
}

}  // namespace stepvideo
