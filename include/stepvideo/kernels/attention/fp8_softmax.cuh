// The online softmax of fp8 attention: weights that use fp8's range.
#pragma once
#include <cmath>
#include <limits>
#include <numbers>

#include <stepvideo/kernels/attention/fp8_attention.hpp>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>

namespace stepvideo {

/// As RowSoftmax, with weights 2^(offset_log2 + scale_log2 score - reference) below fp8's 448.
class Fp8RowSoftmax {
 public:
  static constexpr int rows = 2;
  /// The reference may trail a row's maximum by the headroom: weights reach 2^(offset + headroom) < 448.
  static constexpr float offset_log2 = fp8_weight_offset_log2, headroom_log2 = 2.75f;

  /// Makes room for a tile's scores. True where a row's reference rose in this warp: then results so far must
  /// be rescaled.
  template <int size>
  __device__ bool make_room(const float (&scores)[size], float scale_log2) {
    // Compared as integers, three at once, the largest of some floats is the largest where any is positive or
    // zero; where none is, zero bounds them and the least is the largest.
    int most[rows], least[rows];
#pragma unroll
    for (int row = 0; row < rows; ++row)
      most[row] = std::numeric_limits<int>::min(), least[row] = std::numeric_limits<int>::max();
#pragma unroll
    for (int i = 0; i < size; i += 2) {
      int& of_row = most[AccumulatorRows::row_of(i)];
      of_row = __vimax3_s32(of_row, __float_as_int(scores[i]), __float_as_int(scores[i + 1]));
    }
    bool rises = false;
#pragma unroll
    for (int row = 0; row < rows; ++row)
      rises = rises || !(__int_as_float(max(most[row], 0)) * scale_log2 <= reference_[row] + headroom_log2);
    if (!__any_sync(0xFFFFFFFFu, rises)) return false;

#pragma unroll
    for (int i = 0; i < size; i += 2) {
      int& of_row = least[AccumulatorRows::row_of(i)];
      of_row = __vimin3_s32(of_row, __float_as_int(scores[i]), __float_as_int(scores[i + 1]));
    }
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      const float largest = quad_max(__int_as_float(most[row] >= 0 ? most[row] : least[row]));
      const float raised = fmaxf(reference_[row], largest * scale_log2);
      factor_[row] = exp2_approximately(reference_[row] - finite(raised));
      reference_[row] = raised;
    }
    return true;
  }

  /// scores -> weights, after make_room().
  template <int size>
  __device__ void weigh(float (&scores)[size], float scale_log2) const {
    const float shift[rows] = {offset_log2 - finite(reference_[0]), offset_log2 - finite(reference_[1])};
#pragma unroll
    for (int i = 0; i < size; ++i)
      scores[i] = exp2_approximately(fmaf(scores[i], scale_log2, shift[AccumulatorRows::row_of(i)]));
  }

  /// What results so far are multiplied with where the last make_room() was true.
  __device__ float factor(int row) const {
    return factor_[row];
  }

  /// Whether the row saw a key.
  __device__ bool saw_keys(int row) const {
    return reference_[row] != -INFINITY;
  }
  /// log(sum over keys of exp(scale score)), of the sum of weights; minus infinity where no key was seen.
  __device__ float log_sum_exp(int row, float sum) const {
    return saw_keys(row) ? (reference_[row] - offset_log2 + log2f(sum)) * std::numbers::ln2_v<float>
                         : -INFINITY;
  }

 private:
  static __device__ float finite(float reference) {
    return reference == -INFINITY ? 0.0f : reference;
  }

  float reference_[rows] = {-INFINITY, -INFINITY};
  float factor_[rows] = {1, 1};
};

}  // namespace stepvideo
