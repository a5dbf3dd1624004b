// The online softmax of one warp's scores, in mma.sync's accumulators. Unlike RowSoftmax it asks for no
// reduction between lanes until a reference must rise, and yields weights two at a time, so that exponentials
// run between matrix products.
#pragma once
#include <limits>
#include <numbers>

#include <stepvideo/kernels/attention/row_softmax.cuh>

namespace stepvideo {

/// `tiles` x 2 rows: rows lane / 4 and lane / 4 + 8 of each 16-row tile. Scores and references count in units
/// of log2; the reference trails its row's largest score by at most `headroom`, and weights are
/// 2^(score - reference).
template <int tiles>
class WarpSoftmax {
 public:
  static constexpr float headroom = 8.0f;

  __device__ WarpSoftmax() {
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half) reference_[tile][half] = no_score, sum_[tile][half] = 0;
  }

  /// scores [tile][8 columns][4] -> true where results so far must be rescaled, since a reference rose. The
  /// scaled scores are `scale` scores; scale is positive.
  template <int columns>
  __device__ bool raise_to(const float (&scores)[tiles][columns][4], float scale) {
    float largest[tiles][2];
    bool rises = false;
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float& value = largest[tile][half] = -std::numeric_limits<float>::infinity();
#pragma unroll
        for (int column = 0; column < columns; ++column)
          value = fmaxf(value, fmaxf(scores[tile][column][2 * half], scores[tile][column][2 * half + 1]));
        rises |= value * scale > reference_[tile][half] + headroom;
      }
    if (!__any_sync(0xFFFFFFFFu, rises)) return false;
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float raised = fmaxf(reference_[tile][half], quad_max(largest[tile][half]) * scale);
        factor_[tile][half] = exp2_approximately(reference_[tile][half] - raised);
        sum_[tile][half] *= factor_[tile][half];
        reference_[tile][half] = raised;
      }
    return true;
  }
  /// What results so far are multiplied with after raise_to() said so.
  __device__ float factor(int tile, int half) const {
    return factor_[tile][half];
  }

  /// The weight of a score; minus infinity gives zero.
  __device__ float weigh(float score, float scale, int tile, int half) {
    const float weight = exp2_approximately(fmaf(score, scale, -reference_[tile][half]));
    sum_[tile][half] += weight;
    return weight;
  }

  /// Adds up what the four lanes of a row summed; once, after the last key.
  __device__ void finish() {
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half) sum_[tile][half] = quad_sum(sum_[tile][half]);
  }
  /// What a row's result is multiplied with in the end; zero where no key was seen.
  __device__ float normaliser(int tile, int half) const {
    return sum_[tile][half] == 0 ? 0.0f : 1.0f / sum_[tile][half];
  }
  /// log(sum over keys of exp(score)); minus infinity where no key was seen.
  __device__ float log_sum_exp(int tile, int half) const {
    return (reference_[tile][half] + log2f(sum_[tile][half])) * std::numbers::ln2_v<float>;
  }

 private:
  /// Below every score; finite, so that its difference to minus infinity is minus infinity.
  static constexpr float no_score = std::numeric_limits<float>::lowest();

  float reference_[tiles][2], sum_[tiles][2], factor_[tiles][2];
};

}  // namespace stepvideo
