// Attention's operands in fp8 on the GPU, behind the same calls as on the CPU.
#pragma once
#include <cuda/functional>

#include <cub/block/block_reduce.cuh>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/fp8_channel_scales.cuh>
#include <stepvideo/kernels/attention/quantize_attention.hpp>
#include <stepvideo/kernels/tile/hadamard.cuh>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

template <class T>
struct QuantizeHeadsParams {
  HeadsView<const T> in;
  HeadsView<const float> means;
  QuantizeOptions options;
  QuantizedHeads<fp8_e4m3> out;
};

/// One block for each head of each batch element (x) of each block of 128 tokens (y): neighbouring blocks
/// read neighbouring memory. The rows stay in registers until their largest magnitude is known.
template <class Policy>
__global__ void __launch_bounds__(Policy::row_threads, 2)
    quantize_heads_kernel(QuantizeHeadsParams<typename Policy::Element> params) {
  using Reduce = cub::BlockReduce<float, Policy::row_threads>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ float shared_largest;
  const auto& in = params.in;
  const auto heads = static_cast<unsigned>(in.heads);
  const index_t batch = blockIdx.x / heads, head = blockIdx.x % heads, block = blockIdx.y;
  const index_t visible = params.options.visible(batch, in.tokens);
  const int channel = threadIdx.x % Policy::row_lanes * Policy::row_values;
  const index_t first = block * quantization_block_tokens + threadIdx.x / Policy::row_lanes;

  float rows[Policy::row_rounds][Policy::row_values] = {};
#pragma unroll
  for (int round = 0; round < Policy::row_rounds; ++round) {
    const index_t token = first + round * Policy::block_rows;
    if (token < visible)
#pragma unroll
      for (int i = 0; i < Policy::row_values; i += 8)
        attention_detail::load_channels<Policy>(in.row(batch, token, head) + channel + i, rows[round] + i);
  }
  if (params.means.data != nullptr) {
    const float* means = params.means.row(batch, 0, head) + channel;
#pragma unroll
    for (int round = 0; round < Policy::row_rounds; ++round)
      if (first + round * Policy::block_rows < visible)
#pragma unroll
        for (int i = 0; i < Policy::row_values; ++i) rows[round][i] -= means[i];
  }
  float largest = 0;
#pragma unroll
  for (int round = 0; round < Policy::row_rounds; ++round) {
    if (params.options.rotate) hadamard<Policy::row_lanes>(rows[round]);
#pragma unroll
    for (int i = 0; i < Policy::row_values; ++i) largest = fmaxf(largest, fabsf(rows[round][i]));
  }
  const float of_block = Reduce(storage).Reduce(largest, cuda::maximum<float>{});
  if (threadIdx.x == 0) {
    shared_largest = of_block;
    params.out.scale(batch, block, head) = Fp8Scale::of(of_block).scale;
  }
  __syncthreads();
  const float inverse = Fp8Scale::of(shared_largest).inverse;
#pragma unroll
  for (int round = 0; round < Policy::row_rounds; ++round) {
    const index_t token = first + round * Policy::block_rows;
    if (token >= in.tokens) break;
#pragma unroll
    for (float& value : rows[round]) value *= inverse;
    const auto codes = round_pack<fp8_e4m3>(rows[round]);
    fp8_e4m3* target = params.out.values.row(batch, token, head) + channel;
    if constexpr (Policy::vector > 1) {
      *reinterpret_cast<Pack<fp8_e4m3, Policy::row_values>*>(target) = codes;
    } else {
#pragma unroll
      for (int i = 0; i < Policy::row_values; ++i) target[i] = codes.elements[i];
    }
  }
}

template <class T>
struct QuantizeValuesParams {
  HeadsView<const T> in;
  QuantizeOptions options;
  QuantizedValues<fp8_e4m3> out;
};

/// One block for each head of each batch element (x) of each 128 tokens (y). A thread makes words of the four
/// neighbouring positions of quantized_value_position; shared memory turns them.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    quantize_values_kernel(QuantizeValuesParams<typename Policy::Element> params) {
  constexpr int tokens = static_cast<int>(quantization_block_tokens), words = tokens / 4;
  // A row of 33 words: the writes of 4 octets of channels by 8 words meet all banks.
  __shared__ unsigned turned[Policy::dim][words + 1];
  const auto& in = params.in;
  const auto heads = static_cast<unsigned>(in.heads);
  const index_t batch = blockIdx.x / heads, head = blockIdx.x % heads;
  const index_t first = index_t{blockIdx.y} * tokens, visible = params.options.visible(batch, in.tokens);
  const float* means = params.out.means.row(batch, 0, head);
  const float* scales = params.out.scales.row(batch, 0, head);

  constexpr int octets = Policy::dim / 8;
#pragma unroll
  for (int item = threadIdx.x; item < octets * words; item += Policy::threads) {
    const int octet = item % 4 + item / (4 * words) * 4, word = item / 4 % words;
    float values[4][8] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const index_t token = first + word / 4 * 16 + i / 2 * 8 + word % 4 * 2 + i % 2;
      if (token < visible) {
        attention_detail::load_channels<Policy>(in.row(batch, token, head) + octet * 8, values[i]);
#pragma unroll
        for (int c = 0; c < 8; ++c) values[i][c] -= means[octet * 8 + c];
      }
    }
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const float inverse = 1.0f / scales[octet * 8 + c];
      const float of_channel[4] = {values[0][c] * inverse, values[1][c] * inverse, values[2][c] * inverse,
                                   values[3][c] * inverse};
      turned[octet * 8 + c][word] = std::bit_cast<unsigned>(round_pack<fp8_e4m3>(of_channel));
    }
  }
  __syncthreads();
  for (int item = threadIdx.x; item < Policy::dim * words; item += Policy::threads) {
    const int channel = item / words, word = item % words;
    reinterpret_cast<unsigned*>(params.out.codes.row(batch, channel, head) + first)[word] =
        turned[channel][word];
  }
}

/// See the host's quantize_heads: same shapes, errors and rounding. Two-byte elements, heads of 64 or 128
/// channels.
template <Element T>
void quantize_heads(Device device, std::type_identity_t<HeadsView<const T>> in, HeadsView<const float> means,
                    const QuantizeOptions& options, const QuantizedHeads<fp8_e4m3>& out) {
  require_quantize_heads_shapes<T>(in, means, out, options);
  attention_detail::require_quantizable("quantize_heads", in);
  if (in.batch * in.tokens * in.heads == 0) return;
  attention_detail::with_policy<T>(in.dim, quantize_heads_misalignment<T>(in, out), [&](auto policy) {
    using Policy = decltype(policy);
    launch({.grid = dim3(static_cast<unsigned>(in.batch * in.heads),
                         static_cast<unsigned>(quantization_blocks(in.tokens))),
            .block = Policy::row_threads,
            .stream = device.stream},
           quantize_heads_kernel<Policy>, QuantizeHeadsParams<T>{in, means, options, out});
  });
}

/// See the host's quantize_values: same shapes, errors and rounding. Two-byte elements, heads of 64 or
/// 128 channels, codes aligned to four bytes.
template <Element T>
void quantize_values(Device device, std::type_identity_t<HeadsView<const T>> in,
                     const QuantizeOptions& options, const QuantizedValues<fp8_e4m3>& out,
                     Workspace workspace) {
  require_quantize_values_shapes<T>(in, out, options);
  attention_detail::require_quantizable("quantize_values", in);
  if (in.batch * in.tokens * in.heads == 0) return;
  attention_detail::channel_scales<T>(device, in, options, out.means, out.scales, workspace);
  attention_detail::with_policy<T>(in.dim, quantize_values_misalignment<T>(in), [&](auto policy) {
    using Policy = decltype(policy);
    launch({.grid = dim3(static_cast<unsigned>(in.batch * in.heads),
                         static_cast<unsigned>(quantization_blocks(in.tokens))),
            .block = Policy::threads,
            .stream = device.stream},
           quantize_values_kernel<Policy>, QuantizeValuesParams<T>{in, options, out});
  });
}

}  // namespace stepvideo
