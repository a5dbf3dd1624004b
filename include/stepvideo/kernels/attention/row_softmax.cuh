// The online softmax of scores that lie in accumulator registers: the state of softmax_state.hpp, for the two
// rows that a thread shares with the other three of its quad.
#pragma once
#include <cmath>
#include <numbers>

#include <cuda_runtime_api.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/tile/exp2.cuh>
#include <stepvideo/kernels/tile/quad_reduce.cuh>

namespace stepvideo {

/// By how much, in powers of two, weights may exceed one before they or their sums over 2^20 keys overflow.
template <Element T>
inline constexpr float weight_headroom_log2 = 64;
template <>
inline constexpr float weight_headroom_log2<fp16> = 15;

/// A tile's values are in mma.sync's accumulator layout: element 4 i + 2 r + c belongs to row r. Weights, to
/// be rounded to T, are 2^(scale_log2 score - reference). The reference trails the row's maximum: it rises,
/// and results made so far are rescaled, only where the headroom would not do; the end divides it out.
template <Element T>
class RowSoftmax {
 public:
  static constexpr int rows = 2;

  /// scores -> weights. True where a row's reference rose in this warp: then results so far must be rescaled.
  template <int size>
  __device__ bool weigh(float (&scores)[size], float scale_log2) {
    const bool rose = !__all_sync(0xFFFFFFFFu, surely_fits(scores, scale_log2)) && raise(scores, scale_log2);
    // A row that has seen no key has only scores of minus infinity; their difference must not be NaN.
    const float subtrahend[rows] = {finite(reference_[0]), finite(reference_[1])};
#pragma unroll
    for (int i = 0; i < size; ++i) {
      scores[i] = exp2_approximately(fmaf(scores[i], scale_log2, -subtrahend[row_of(i)]));
      sum_[row_of(i)] += scores[i];
    }
    return rose;
  }

  /// Carries a result over to the references of the last weigh().
  template <int size>
  __device__ void rescale(float (&results)[size]) const {
#pragma unroll
    for (int i = 0; i < size; ++i) results[i] *= factor_[row_of(i)];
  }

  /// Adds up what the quad's threads summed; once, after the last tile.
  __device__ void finish() {
    for (float& sum : sum_) sum = quad_sum(sum);
  }
  /// What a row's result is multiplied with in the end; zero where no key was seen.
  __device__ float normaliser(int row) const {
    return sum_[row] > 0 ? 1.0f / sum_[row] : 0.0f;
  }
  /// log(sum over keys of exp(scale score)); minus infinity where no key was seen.
  __device__ float log_sum_exp(int row) const {
    return (reference_[row] + log2f(sum_[row])) * std::numbers::ln2_v<float>;
  }

 private:
  static constexpr int row_of(int i) {
    return i / 2 % 2;
  }
  static __device__ float finite(float reference) {
    return reference == -INFINITY ? 0.0f : reference;
  }

  /// Whether this thread's scores are far from the end of the headroom. The Euclidean norm bounds the largest
  /// one from above: an addition chain at full rate and no exchange in the quad, where a maximum runs at half
  /// rate. Infinities and NaN never fit.
  template <int size>
  __device__ bool surely_fits(const float (&scores)[size], float scale_log2) const {
    constexpr int chains = 4;
    float squares[chains] = {};
#pragma unroll
    for (int i = 0; i < size; ++i) squares[i % chains] = fmaf(scores[i], scores[i], squares[i % chains]);
    const float square = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    const float room = fminf(reference_[0], reference_[1]) + weight_headroom_log2<T>;
    return room > 0 && square * (scale_log2 * scale_log2) <= room * room;
  }

  /// Raises the references to the largest scores; false where there was no need in any row of the warp.
  template <int size>
  __device__ bool raise(const float (&scores)[size], float scale_log2) {
    float largest[rows] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int i = 0; i < size; ++i) largest[row_of(i)] = fmaxf(largest[row_of(i)], scores[i]);
#pragma unroll
    for (float& value : largest) value = quad_max(value) * scale_log2;
    const bool rises =
        largest[0] > reference_[0] + small_rise_log2 || largest[1] > reference_[1] + small_rise_log2;
    if (!__any_sync(0xFFFFFFFFu, rises)) return false;
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      const float raised = fmaxf(reference_[row], largest[row]);
      factor_[row] = exp2_approximately(reference_[row] - finite(raised));
      sum_[row] *= factor_[row];
      reference_[row] = raised;
    }
    return true;
  }

  /// Rises that are not worth a rescaling.
  static constexpr float small_rise_log2 = 8;

  float reference_[rows] = {-INFINITY, -INFINITY};
  float sum_[rows] = {0, 0};
  float factor_[rows] = {1, 1};
};

}  // namespace stepvideo
