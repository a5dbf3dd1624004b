// The online softmax of scores that lie in accumulator registers: the state of softmax_state.hpp, for the two
// rows that a thread shares with the other three of its quad.
#pragma once
#include <cmath>
#include <limits>
#include <numbers>

#include <cuda_runtime_api.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>
#include <stepvideo/kernels/tile/exp2.cuh>
#include <stepvideo/kernels/tile/quad_reduce.cuh>

namespace stepvideo {

/// How far, in powers of two, weights may be from one on either side: far from overflow, also of sums over
/// 2^20 keys, and from where T loses bits.
template <Element T>
inline constexpr float weight_headroom_log2 = 64;
template <>
inline constexpr float weight_headroom_log2<fp16> = 10;

/// A thread's values are laid out as AccumulatorRows says. Weights, to
/// be rounded to T, are 2^(scale_log2 score - reference). The reference is zero as long as scores are near
/// it, which spares their maxima, and then trails the row's maximum: it rises, and results made so far are
/// rescaled, only where the headroom would not do; the end divides it out.
template <Element T>
class RowSoftmax {
 public:
  static constexpr int rows = 2;

  /// Whether a warp's scores, all of which will be weighed, are within the headroom. Compared as integers,
  /// the largest of some floats is the largest where any is positive and the lowest where none is: either
  /// bounds what can go wrong. Three at once, and no exchange in the quad. Infinities and NaN never fit.
  template <int size>
  __device__ bool fits(const float (&scores)[size], float scale_log2) const {
    int largest[rows] = {__float_as_int(scores[0]), __float_as_int(scores[2])};
#pragma unroll
    for (int i = 0; i < size; i += 4)
#pragma unroll
      for (int row = 0; row < rows; ++row)
        largest[row] = __vimax3_s32(largest[row], __float_as_int(scores[i + 2 * row]),
                                    __float_as_int(scores[i + 2 * row + 1]));
    bool fits = true;
#pragma unroll
    for (int row = 0; row < rows; ++row)
      fits = fits &&
             fabsf(__int_as_float(largest[row])) * scale_log2 <= reference_[row] + weight_headroom_log2<T>;
    return __all_sync(0xFFFFFFFFu, fits);
  }

  /// The same where the mask is going to hide some of them: none may be low, for the positive ones may go.
  /// The Euclidean norm of a thread's scores bounds each.
  template <int size>
  __device__ bool fits_without_any(const float (&scores)[size], float scale_log2) const {
    constexpr int chains = 4;
    float squares[chains] = {};
#pragma unroll
    for (int i = 0; i < size; ++i) squares[i % chains] = fmaf(scores[i], scores[i], squares[i % chains]);
    const float square = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    const float room = fminf(reference_[0], reference_[1]) + weight_headroom_log2<T>;
    return __all_sync(0xFFFFFFFFu, room > 0 && square * (scale_log2 * scale_log2) <= room * room);
  }

  /// Before scores are weighed; `fits`: what either said. True where a row's reference changed in this warp:
  /// then results so far must be rescaled.
  template <int size>
  __device__ bool make_room(const float (&scores)[size], float scale_log2, bool fits) {
    return !fits && refer(scores, scale_log2);
  }
  /// The weight of a score of row `row`.
  __device__ float weigh(float score, float scale_log2, int row) {
    const float weight = exp2_approximately(fmaf(score, scale_log2, -reference_[row]));
    sum_[row] += weight;
    return weight;
  }
  /// scores -> weights
  template <int size>
  __device__ void weigh(float (&scores)[size], float scale_log2) {
#pragma unroll
    for (int i = 0; i < size; ++i) scores[i] = weigh(scores[i], scale_log2, AccumulatorRows::row_of(i));
  }

  /// Carries a result over to the references of the last make_room().
  template <int size>
  __device__ void rescale(float (&results)[size]) const {
#pragma unroll
    for (int i = 0; i < size; ++i) results[i] *= factor_[AccumulatorRows::row_of(i)];
  }

  /// Adds up what the quad's threads summed; once, after the last tile.
  __device__ void finish() {
    for (float& sum : sum_) sum = quad_sum(sum);
  }
  /// What a row's result is multiplied with in the end; zero where no key was seen.
  __device__ float normaliser(int row) const {
    return sum_[row] > 0 ? __fdividef(1.0f, sum_[row]) : 0.0f;
  }
  /// log(sum over keys of exp(scale score)); minus infinity where no key was seen.
  __device__ float log_sum_exp(int row) const {
    return (reference_[row] + log2f(sum_[row])) * std::numbers::ln2_v<float>;
  }

 private:
  /// Refers the weights to the largest scores; false where there was no need in any row of the warp.
  template <int size>
  __device__ bool refer(const float (&scores)[size], float scale_log2) {
    float largest[rows] = {-INFINITY, -INFINITY}, current[rows];
#pragma unroll
    for (int i = 0; i < size; ++i)
      largest[AccumulatorRows::row_of(i)] = fmaxf(largest[AccumulatorRows::row_of(i)], scores[i]);
    bool rises = false;
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      largest[row] = quad_max(largest[row]) * scale_log2;
      // Nothing was weighed yet: nothing binds the row to its reference.
      current[row] = quad_sum(sum_[row]) > 0 ? reference_[row] : -INFINITY;
      rises = rises || largest[row] > current[row] + small_rise_log2;
    }
    if (!__any_sync(0xFFFFFFFFu, rises)) return false;
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      // A row that has seen no key has only scores of minus infinity; their difference must not be NaN.
      const float raised = fmaxf(fmaxf(current[row], largest[row]), -std::numeric_limits<float>::max());
      factor_[row] = exp2_approximately(current[row] - raised);
      sum_[row] *= factor_[row];
      reference_[row] = raised;
    }
    return true;
  }

  /// Rises that are not worth a rescaling.
  static constexpr float small_rise_log2 = 8;

  float reference_[rows] = {0, 0};
  float sum_[rows] = {0, 0};
  float factor_[rows] = {1, 1};
};

}  // namespace stepvideo
