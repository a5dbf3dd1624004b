// The online softmax: what a query must remember of the keys it has seen, so that more keys can follow. The
// same state joins key tiles, split keys and the ranks of a ring.
#pragma once
#include <cmath>
#include <limits>

#include <stepvideo/kernels/tile/exp.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// The largest score so far, and the sum of exp(score - max). Partial results are weighted sums relative to
/// the same max (Milakov and Gimelshein, "Online normalizer calculation for softmax").
struct SoftmaxState {
  /// Below every score; finite, so that differences of two of them are not NaN.
  static constexpr float no_score = std::numeric_limits<float>::lowest() / 2;

  float max = no_score;
  float sum = 0;

  /// The state whose partial result is already normalised, of a log-sum-exp.
  static constexpr SoftmaxState from_log_sum_exp(float log_sum_exp) {
    if (log_sum_exp == -std::numeric_limits<float>::infinity()) return {};
    return {log_sum_exp, 1.0f};
  }

  /// Makes room for scores up to `score`. Returns the factor that carries sums and partial results made so
  /// far over to the new max.
  constexpr float raise_to(float score) {
    const float raised = score > max ? score : max;
    const float factor = fast_exp(max - raised);
    max = raised;
    sum *= factor;
    return factor;
  }

  constexpr bool is_empty() const { return sum == 0; }

  /// log(sum over keys of exp(score)); minus infinity when no key was seen.
  constexpr float log_sum_exp() const {
    return is_empty() ? -std::numeric_limits<float>::infinity() : max + std::log(sum);
  }
};

/// What each of two partial results is multiplied with before they are added.
struct MergeFactors {
  float into, other;
};

/// Takes `other`'s keys into `into`.
constexpr MergeFactors merge(SoftmaxState& into, const SoftmaxState& other) {
  // An empty state's partial result is zero, but its factor must not be 0/0.
  if (other.is_empty()) return {1.0f, 0.0f};
  const float factor = into.raise_to(other.max);
  const float other_factor = fast_exp(other.max - into.max);
  into.sum += other.sum * other_factor;
  return {factor, other_factor};
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
