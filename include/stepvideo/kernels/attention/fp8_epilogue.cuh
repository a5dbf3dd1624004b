// How results leave fp8_attention.
#pragma once
#include <type_traits>

#include <stepvideo/kernels/attention/attention_work.hpp>
#include <stepvideo/kernels/attention/fp8_pipeline.cuh>
#include <stepvideo/kernels/attention/fp8_softmax.cuh>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// Stores a thread's part of two queries, at.first_query and the one 8 further on: `sums` of weights and
/// value codes in wgmma's accumulator layout, divided by the sums of the weights, scaled, and with the
/// values' mean given back. Zeros for a query that saw no key. Of a narrower head than the tile, its
/// channels. A quad's stores fill 16 bytes; they are 1 in 600 of the kernel's accesses.
template <class Policy, int size>
__device__ void store_fp8_results(const Fp8AttentionParams<Policy>& params, const AttentionWork& at,
                                  const Fp8RowSoftmax& softmax, const float (&sums)[size],
                                  const float (&weight_sums)[2]) {
  using Out = typename Policy::Out;
  const int lane_of_quad = static_cast<int>(threadIdx.x) % 4, first = lane_of_quad * 2;
  const int dim = static_cast<int>(params.out.dim);
  const float* scales = params.value_scales.row(at.batch, 0, at.key_head) + first;
  const float* means = params.value_means.row(at.batch, 0, at.key_head) + first;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int query = at.first_query + 8 * r;
    if (query >= params.out.tokens) continue;
    if (params.log_sum_exp.data != nullptr && lane_of_quad == 0)
      *params.log_sum_exp.row(at.batch, query, at.head) = softmax.log_sum_exp(r, weight_sums[r]);
    const bool saw_keys = softmax.saw_keys(r);
    const float normaliser = 1.0f / weight_sums[r];
    Out* target = params.out.row(at.batch, query, at.head) + first;
#pragma unroll
    for (int i = 0; i < Policy::dim; i += 8) {
      if (i % Policy::dim_step == 0 && i >= dim) break;
      float pair[2];
#pragma unroll
      for (int c = 0; c < 2; ++c)
        pair[c] = saw_keys ? fmaf(sums[i / 2 + 2 * r + c] * normaliser, scales[i + c], means[i + c]) : 0.0f;
      const auto rounded = round_pack<Out>(pair);
      if (params.out_takes_pairs) {
        *reinterpret_cast<Pack<Out, 2>*>(target + i) = rounded;
      } else {
        target[i] = rounded.elements[0], target[i + 1] = rounded.elements[1];
      }
    }
  }
}

}  // namespace stepvideo
