// Attention whose products are of fp8 operands, for GPUs with warpgroup products and bulk copies.
#pragma once
#include <algorithm>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/fp8_attention.hpp>
#include <stepvideo/kernels/attention/fp8_mainloop.cuh>
#include <stepvideo/kernels/attention/quantize_attention.cuh>
#include <stepvideo/kernels/tile/kernel_gpu.cuh>
#include <stepvideo/kernels/tile/shared_memory.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Fp8Attention, Device> = true;
}  // namespace calls

template <class Policy>
__global__ void __launch_bounds__(has_warpgroup_products ? Policy::threads : 32, 1)
    fp8_attention_kernel(const __grid_constant__ Fp8AttentionParams<Policy> params) {
  if constexpr (has_warpgroup_products) {
    auto& shared = shared_memory<Fp8AttentionShared<Policy>>();
    if (threadIdx.x == 0) shared.initialize_barriers();
    shared.write_ones();
    __syncthreads();

    auto share =
        AttentionShare::interleaved(params.work, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
    // The shuffle tells the compiler that a warp is of one mind.
    const int warpgroup = __shfl_sync(0xFFFFFFFFu, static_cast<int>(threadIdx.x) / Policy::warpgroup, 0);
    if (warpgroup == 0) {
      release_registers<Policy::producer_registers>();
      if (threadIdx.x == 0) {
        Fp8Producer<Policy> producer(params, shared);
        for (; !share.is_done(); share.advance()) producer.fetch(share.work());
      }
    } else {
      claim_registers<Policy::consumer_registers>();
      Fp8Consumer<Policy> consumer(params, shared, warpgroup - 1);
      for (; !share.is_done(); share.advance()) consumer.attend(share.work());
    }
  }
}

/// See the host's fp8_attention on quantised operands: same shapes, errors and rounding. Heads of up to 128
/// channels in whole 16s, which all take the time of 128; operands aligned to 16 bytes with strides of whole
/// 16 bytes, a positive scale, a Hopper GPU. Throws RequestError where that is not so.
template <Element T, AttentionMask Mask>
void fp8_attention(Device device, const QuantizedHeads<const fp8_e4m3>& queries,
                   const QuantizedHeads<const fp8_e4m3>& keys, const QuantizedValues<const fp8_e4m3>& values,
                   const Mask& mask, HeadsView<T> out, const AttentionOptions& options) {
  require_countable_attention(HeadsView<const T>(out), values.tokens);
  require_fp8_attention_call(queries, keys, values, mask, out, options);
  using Policy = Fp8AttentionPolicy<T, std::remove_cvref_t<decltype(kernel_mask(mask))>>;
  const float scale = options.scale_for(out.dim);
  require(out.dim > 0 && out.dim <= Policy::dim && out.dim % Policy::dim_step == 0, [&] {
    return "fp8_attention: heads have " + std::to_string(out.dim) + " channels; on the device multiples of " +
           std::to_string(Policy::dim_step) + " up to " + std::to_string(Policy::dim) + " are built";
  });
  require(scale > 0, [&] {
    return "fp8_attention: the scale is " + std::to_string(scale) + "; on the device it must be positive";
  });
  const Misalignment misaligned =
      first_of(bulk_misalignment("queries", queries.values), bulk_misalignment("keys", keys.values),
               bulk_misalignment("the values' codes", values.codes));
  require(!misaligned,
          [&] { return "fp8_attention: " + to_string(misaligned) + "; bulk copies cannot reach it"; });
  if (out.batch * out.tokens * out.heads == 0) return;
  require_fp8_attention_gpu(kernel_gpu(fp8_attention_kernel<Policy>, Policy::threads));

  // With no keys there is nothing to map; the kernel then loads none.
  const bool has_keys = values.tokens > 0;
  const Fp8AttentionParams<Policy> params{
      .queries = tensor_map(queries.values, Policy::consumer_queries),
      .keys = has_keys ? tensor_map(keys.values, Policy::keys) : CUtensorMap{},
      .values = has_keys ? tensor_map(values.codes, Policy::dim) : CUtensorMap{},
      .query_scales = queries.scales,
      .key_scales = keys.scales,
      .value_scales = values.scales,
      .value_means = values.means,
      .out = out,
      .log_sum_exp = options.log_sum_exp,
      .mask = kernel_mask(mask),
      .work = AttentionWorkList::of(out, keys.values.heads, Policy::queries),
      .key_tokens = static_cast<int>(values.tokens),
      .scale = scale,
      .out_takes_pairs = reinterpret_cast<std::uintptr_t>(out.data) % 4 == 0 && out.batch_stride % 2 == 0 &&
                         out.token_stride % 2 == 0 && out.head_stride % 2 == 0};
  launch({.grid = dim3(resident_blocks(params.work.count(), options.spare_multiprocessors)),
          .block = Policy::threads,
          .shared_bytes = sizeof(Fp8AttentionShared<Policy>),
          .stream = device.stream},
         fp8_attention_kernel<Policy>, params);
}

}  // namespace stepvideo
