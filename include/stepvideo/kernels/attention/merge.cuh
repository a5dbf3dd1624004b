// Merging two results of attention on the GPU, behind the same call as on the CPU.
#pragma once
#include <string>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/merge.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<MergeAttention, Device> = true;
}  // namespace calls

/// A query's result is shared by `lanes` neighbouring lanes of a warp, `vector` elements each at a time;
/// 16-byte accesses, where the views allow them.
template <class T, int vector_elements>
struct MergePolicy {
  using Element = T;
  static constexpr int vector = vector_elements, threads = 256;
  static constexpr int lanes = sizeof(T) == 2 && vector > 1 ? 16 : 32;
  static constexpr int rows_per_block = threads / lanes;
};

template <class T>
struct MergeParams {
  HeadsView<const T> other;
  HeadsView<const float> other_log_sum_exp;
  HeadsView<T> into;
  HeadsView<float> into_log_sum_exp;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    merge_attention_kernel(MergeParams<typename Policy::Element> params) {
  constexpr int vector = Policy::vector;
  const auto& into = params.into;
  const int lane = static_cast<int>(threadIdx.x) % Policy::lanes;
  const index_t row = index_t{blockIdx.x} * Policy::rows_per_block + threadIdx.x / Policy::lanes;
  const bool is_row = row < into.batch * into.tokens * into.heads;
  const index_t head = row % into.heads, token = row / into.heads % into.tokens,
                batch = row / into.heads / into.tokens;
  float* const log_sum_exp = params.into_log_sum_exp.row(batch, token, head);
  SoftmaxState state, added;
  if (is_row) {
    state = SoftmaxState::from_log_sum_exp(*log_sum_exp);
    added = SoftmaxState::from_log_sum_exp(*params.other_log_sum_exp.row(batch, token, head));
  }
  __syncwarp();  // every lane has read what the first one overwrites
  if (!is_row) return;

  const MergeFactors factors = merge(state, added);
  const float inverse = state.is_empty() ? 0.0f : 1.0f / state.sum;
  const auto* source = params.other.row(batch, token, head);
  auto* target = into.row(batch, token, head);
  for (index_t i = lane * vector; i < into.dim; i += Policy::lanes * vector) {
    float from[vector], to[vector];
    widen_pack(load_pack_once<vector>(source + i), from);
    widen_pack(load_pack_once<vector>(target + i), to);
#pragma unroll
    for (int e = 0; e < vector; ++e) to[e] = (to[e] * factors.into + from[e] * factors.other) * inverse;
    store_pack_once(target + i, round_pack<typename Policy::Element>(to));
  }
  if (lane == 0) *log_sum_exp = state.log_sum_exp();
}

/// See the host's merge_attention: same shapes, same errors. Runs on device.stream.
template <Element T>
void merge_attention(Device device, std::type_identity_t<HeadsView<const T>> other,
                     HeadsView<const float> other_log_sum_exp, HeadsView<T> into,
                     HeadsView<float> into_log_sum_exp) {
  require_merge_shapes<T>(other, other_log_sum_exp, into, into_log_sum_exp);
  const index_t rows = into.batch * into.tokens * into.heads;
  if (rows == 0) return;
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    const auto blocks = (rows + Policy::rows_per_block - 1) / Policy::rows_per_block;
    launch({.grid = dim3(static_cast<unsigned>(blocks)), .block = Policy::threads, .stream = device.stream},
           merge_attention_kernel<Policy>, MergeParams<T>{other, other_log_sum_exp, into, into_log_sum_exp});
  };
  if (merge_attention_misalignment<T>(other, into)) {
    launch_with(MergePolicy<T, 1>{});
  } else {
    launch_with(MergePolicy<T, widest_access_bytes / sizeof(T)>{});
  }
}

}  // namespace stepvideo
