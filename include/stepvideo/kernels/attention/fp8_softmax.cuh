// The online softmax of fp8 attention: weights that use fp8's range, with part of the exponentials on the
// multiply-add units.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include <stepvideo/kernels/attention/fp8_attention.hpp>
#include <stepvideo/kernels/attention/row_softmax.cuh>

namespace stepvideo {

/// 2^x by multiply-adds, for x in [-126, 127]; relative error below 1.8e-3, a seventeenth of fp8's own. x is
/// split into a whole number, by adding 1.5 * 2^23, and a rest in [-1/2, 1/2], whose power is a quadratic
/// (Cody and Waite's range reduction, minimax coefficients).
__device__ inline float exp2_by_polynomial(float x) {
  const float shifted = x + 12582912.0f;
  const float rest = x - (shifted - 12582912.0f);
  const float power = fmaf(fmaf(rest, 0.238424f, 0.703439f), rest, 1.000443f);
  return __int_as_float(__float_as_int(power) + (__float_as_int(shifted) << 23));
}

/// As RowSoftmax, with weights 2^(offset_log2 + scale_log2 score - reference) below fp8's 448. `emulated` of
/// every eight exponentials are polynomials: the special function unit makes 16 a clock and multiprocessor
/// and would take as long as the tensor cores.
template <int emulated>
class Fp8RowSoftmax {
 public:
  static constexpr int rows = 2;
  /// The reference may trail a row's maximum by the headroom: weights reach 2^(offset + headroom) < 448.
  static constexpr float offset_log2 = fp8_weight_offset_log2, headroom_log2 = 2.75f;

  /// Makes room for a tile's scores. True where a row's reference rose in this warp: then results so far must
  /// be rescaled.
  template <int size>
  __device__ bool make_room(const float (&scores)[size], float scale_log2) {
    // Two chains for each row: a maximum's latency is twice its issue time.
    float largest[2 * rows] = {scores[0], scores[2], scores[1], scores[3]};
#pragma unroll
    for (int i = 4; i < size; ++i) {
      float& chain = largest[row_of(i) + i % 2 * rows];
      chain = fmaxf(chain, scores[i]);
    }
    return raise_to({fmaxf(largest[0], largest[2]) * scale_log2, fmaxf(largest[1], largest[3]) * scale_log2});
  }

  /// scores -> weights, after make_room().
  template <int size>
  __device__ void weigh(float (&scores)[size], float scale_log2) const {
    const float shift[rows] = {offset_log2 - finite(reference_[0]), offset_log2 - finite(reference_[1])};
#pragma unroll
    for (int i = 0; i < size; ++i) {
      const float exponent = fmaf(scores[i], scale_log2, shift[row_of(i)]);
      // Both rows and both columns of a thread's 2 x 2 patches take turns.
      if ((i + i / 8) % 8 < emulated) {
        scores[i] = exp2_by_polynomial(fmaxf(exponent, least_exponent));
      } else {
        scores[i] = exp2_approximately(exponent);
      }
    }
  }

  /// What results so far are multiplied with where the last weigh() was true.
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
  /// 2^-30 is zero in fp8 and nothing beside a row's sum; the polynomial's exponent field does not wrap
  /// there.
  static constexpr float least_exponent = -30.0f;

  static constexpr int row_of(int i) {
    return i / 2 % 2;
  }
  static __device__ float finite(float reference) {
    return reference == -INFINITY ? 0.0f : reference;
  }

  struct Rows {
    float at[rows];
  };

  /// `largest` is this thread's; the quad's is asked for only where some thread of the warp has a score out
  /// of reach.
  __device__ bool raise_to(Rows largest) {
    const bool rises =
        largest.at[0] > reference_[0] + headroom_log2 || largest.at[1] > reference_[1] + headroom_log2;
    if (!__any_sync(0xFFFFFFFFu, rises)) return false;
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      const float raised = fmaxf(reference_[row], quad_max(largest.at[row]));
      factor_[row] = exp2_approximately(reference_[row] - finite(raised));
      reference_[row] = raised;
    }
    return true;
  }

  float reference_[rows] = {-INFINITY, -INFINITY};
  float factor_[rows] = {1, 1};
};

}  // namespace stepvideo
