// Attention on GPUs with warpgroup matrix products and bulk copies: warps of one kind fetch, others compute.
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/warpgroup_mainloop.cuh>
#include <stepvideo/kernels/tile/shared_memory.cuh>

namespace stepvideo {

/// A block stays on its multiprocessor and works through its share of the work list. Compiled for a GPU
/// without warpgroup products it does nothing and admits no launch.
template <class Policy>
__global__ void __launch_bounds__(has_warpgroup_products ? Policy::threads : 32, 1)
    warpgroup_attention_kernel(
        const __grid_constant__ WarpgroupAttentionParams<typename Policy::Mask> params) {
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

/// Whether warpgroup_attention serves these arguments on the current device: heads of 64 or 128 channels,
/// some keys, a positive scale, views that bulk copies reach (16-byte strides), and code for the device's
/// warpgroup products (see has_warpgroup_products).
template <class T, AttentionMask Mask>
bool warpgroup_attention_serves(HeadsView<const T> queries, HeadsView<const T> keys,
                                HeadsView<const T> values, const Mask&, HeadsView<T> out,
                                const AttentionOptions& options) {
  if ((queries.dim != 64 && queries.dim != 128) || keys.tokens == 0 || !(options.scale > 0)) return false;
  if (!allows_bulk_copies(queries) || !allows_bulk_copies(keys) || !allows_bulk_copies(values) ||
      !allows_bulk_copies(out))
    return false;
  if (device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return false;
  using Policy =
      WarpgroupAttentionPolicy<T, 128,
                               std::remove_cvref_t<decltype(kernel_mask(std::declval<const Mask&>()))>>;
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, warpgroup_attention_kernel<Policy>));
  return attributes.maxThreadsPerBlock >= Policy::threads;
}

/// attention() where warpgroup_attention_serves() says so; throws RequestError elsewhere. The softmax's
/// weights are rounded to T before they meet the values, sums are float32. Under a causal mask a key that is
/// not finite may reach queries up to a tile before it.
template <class T, AttentionMask Mask>
void warpgroup_attention(Device device, std::type_identity_t<HeadsView<const T>> queries,
                         std::type_identity_t<HeadsView<const T>> keys,
                         std::type_identity_t<HeadsView<const T>> values, const Mask& mask, HeadsView<T> out,
                         const AttentionOptions& options) {
  require_attention_shapes<T>(queries, keys, values, out, options);
  require_mask_fits(mask, queries.batch, queries.heads);
  if (queries.batch * queries.heads * queries.tokens == 0) return;
  require(warpgroup_attention_serves<T>(queries, keys, values, mask, out, options), [&] {
    return "warpgroup_attention: queries " + shape_text(queries) + " and keys " + shape_text(keys) +
           " need heads of 64 or 128 channels, a positive scale, at least one key, strides of 16 bytes and a "
           "Hopper GPU; attention() takes any";
  });
  require_countable_tokens(queries.tokens, keys.tokens);
  dispatch<64, 128>("head dimension", queries.dim, [&]<int dim>(std::integral_constant<int, dim>) {
    using KernelMask = std::remove_cvref_t<decltype(kernel_mask(mask))>;
    using Policy = WarpgroupAttentionPolicy<T, dim, KernelMask>;
    // Keys short enough to be kept are worth neighbouring tiles to a block; long ones are shared through L2.
    constexpr index_t short_keys = 4096;
    const WarpgroupAttentionParams<KernelMask> params{
        .queries = tensor_map(queries, Policy::consumer_queries),
        .keys = tensor_map(keys, Policy::keys),
        .values = tensor_map(values, Policy::keys),
        .out = tensor_map(out, Policy::consumer_queries),
        .log_sum_exp = options.log_sum_exp,
        .mask = kernel_mask(mask),
        .work = AttentionWorkList::of(queries, keys.heads, Policy::queries),
        .is_interleaved = keys.tokens > short_keys,
        .query_tokens = static_cast<int>(queries.tokens),
        .key_tokens = static_cast<int>(keys.tokens),
        .scale = options.scale};
    const int blocks = std::min(params.work.count(), device_attribute(cudaDevAttrMultiProcessorCount));
    launch({.grid = dim3(static_cast<unsigned>(blocks)),
            .block = Policy::threads,
            .shared_bytes = sizeof(WarpgroupAttentionShared<Policy>),
            .stream = device.stream},
           warpgroup_attention_kernel<Policy>, params);
  });
}

}  // namespace stepvideo
