// Attention on GPUs with warpgroup matrix products and bulk copies: warps of one kind fetch, others compute.
#pragma once
#include <algorithm>
#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/warpgroup_mainloop.cuh>
#include <stepvideo/kernels/tile/kernel_gpu.cuh>
#include <stepvideo/kernels/tile/shared_memory.cuh>

namespace stepvideo {

/// A block stays on its multiprocessor and works through its share of the work list. Compiled for a GPU
/// without warpgroup products it does nothing and admits no launch.
template <class Policy>
__global__ void __launch_bounds__(has_warpgroup_products ? Policy::threads : 32, 1)
    warpgroup_attention_kernel(
        const __grid_constant__ WarpgroupAttentionParams<typename Policy::Mask, typename Policy::Results>
            params) {
  if constexpr (has_warpgroup_products) {
    auto& shared = shared_memory<WarpgroupAttentionShared<Policy>>();
    if (threadIdx.x == 0) shared.initialize_barriers();
    __syncthreads();

    const AttentionShare share = params.share();
    // The same in all lanes of a warp, which the compiler cannot know of threadIdx.
    const int warpgroup = __shfl_sync(0xFFFFFFFFu, static_cast<int>(threadIdx.x) / Policy::warpgroup, 0);
    if (warpgroup == 0) {
      release_registers<Policy::producer_registers>();
      if (threadIdx.x == 0) AttentionProducer<Policy>(params, shared).run(share);
    } else {
      claim_registers<Policy::consumer_registers>();
      AttentionConsumer<Policy>(params, shared, warpgroup - 1).run(share);
    }
  }
}

/// The current device and, for elements that it takes, this program's code of warpgroup_attention for it.
template <class T, AttentionMask Mask>
KernelGpu warpgroup_attention_gpu(const Mask&) {
  if constexpr (sizeof(T) == 2) {
    using KernelMask = std::remove_cvref_t<decltype(kernel_mask(std::declval<const Mask&>()))>;
    using Policy = WarpgroupAttentionPolicy<T, 128, KernelMask>;
    return kernel_gpu(warpgroup_attention_kernel<Policy>, Policy::threads);
  } else {
    return kernel_gpu();
  }
}

/// How results leave: in boxes of T, or as they are, to be merged.
template <class Policy, class T>
CUtensorMap warpgroup_results(HeadsView<T> out) {
  return tensor_map(out, Policy::consumer_queries);
}
template <class Policy>
PartialResults warpgroup_results(PartialResults out) {
  return out;
}

/// attention() where attention_path() says AttentionKernel::warpgroup, with arguments that have passed its
/// checks; `out` is HeadsView<T> or PartialResults. The softmax's weights are rounded to T before they meet
/// the values, sums are float32. Under a causal mask a key that is not finite may reach queries up to a tile
/// before it.
template <class T, AttentionMask Mask, class Out>
void launch_warpgroup_attention(Device device, HeadsView<const T> queries, HeadsView<const T> keys,
                                HeadsView<const T> values, const Mask& mask, const Out& out,
                                const AttentionOptions& options) {
  dispatch<64, 128>("head dimension", queries.dim, [&]<int dim>(std::integral_constant<int, dim>) {
    using KernelMask = std::remove_cvref_t<decltype(kernel_mask(mask))>;
    using Results = std::conditional_t<std::same_as<Out, PartialResults>, PartialResults, CUtensorMap>;
    using Policy = WarpgroupAttentionPolicy<T, dim, KernelMask, Results>;
    // Keys short enough to be kept are worth neighbouring tiles to a block; long ones are shared through L2.
    constexpr index_t short_keys = 4096;
    const WarpgroupAttentionParams<KernelMask, Results> params{
        .queries = tensor_map(queries, Policy::consumer_queries),
        .keys = tensor_map(keys, Policy::keys),
        .values = tensor_map(values, Policy::keys),
        .out = warpgroup_results<Policy>(out),
        .log_sum_exp = options.log_sum_exp,
        .mask = kernel_mask(mask),
        .work = AttentionWorkList::of(queries, keys.heads, Policy::queries),
        .is_interleaved = keys.tokens > short_keys,
        .query_tokens = static_cast<int>(queries.tokens),
        .key_tokens = static_cast<int>(keys.tokens),
        .scale = options.scale_for(queries.dim)};
    launch({.grid = dim3(resident_blocks(params.work.count(), options.spare_multiprocessors)),
            .block = Policy::threads,
            .shared_bytes = sizeof(WarpgroupAttentionShared<Policy>),
            .stream = device.stream},
           warpgroup_attention_kernel<Policy>, params);
  });
}

}  // namespace stepvideo
