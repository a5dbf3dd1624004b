// Attention's operands in fp8 on the GPU, behind the same calls as on the CPU.
#pragma once
#include <cuda/functional>

#include <cub/block/block_reduce.cuh>

#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/quantize_attention.hpp>
#include <stepvideo/kernels/tile/hadamard.cuh>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// Tuning of the three kernels below. A head's row of `dim` two-byte elements is read in packs of `vector`.
template <class T, int head_dim, int vector_elements>
struct QuantizePolicy {
  using Element = T;
  static constexpr int dim = head_dim, vector = vector_elements, threads = 256;

  /// Channel extents: a thread keeps `vector` channels, a block walks through `chunk_tokens` tokens.
  static constexpr int chunk_tokens = 512, extent_lanes = dim / 8, extent_rows = threads / extent_lanes;
  /// Queries and keys: a row lies in the registers of `row_lanes` lanes, a block of tokens in a block's.
  static constexpr int row_lanes = 8, row_values = dim / row_lanes;
  static constexpr int block_rows = threads / row_lanes;
  static constexpr int row_rounds = static_cast<int>(quantization_block_tokens) / block_rows;
  static_assert(row_values % 8 == 0 && sizeof(T) == 2);
};

namespace quantize_detail {

/// Eight neighbouring channels as floats; packs of one where the view is not aligned.
template <class Policy, class T>
__device__ void load_channels(const T* source, float* values) {
#pragma unroll
  for (int i = 0; i < 8; i += Policy::vector) {
    const auto pack = load_pack_once<Policy::vector>(source + i);
#pragma unroll
    for (int e = 0; e < Policy::vector; ++e) values[i + e] = float(pack.elements[e]);
  }
}

/// The extents of one chunk of one head, or of all of it.
struct ExtentsView {
  ChannelExtent* data;
  int chunks, dim;

  __host__ __device__ ChannelExtent* row(index_t head_of_batch, int chunk) const {
    return data + (head_of_batch * chunks + chunk) * dim;
  }
};

}  // namespace quantize_detail

template <class T>
struct ChannelExtentsParams {
  HeadsView<const T> in;
  QuantizeOptions options;
  quantize_detail::ExtentsView extents;
};

/// One block for each chunk of tokens (x) of each head of each batch element (y).
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    channel_extents_kernel(ChannelExtentsParams<typename Policy::Element> params) {
  __shared__ ChannelExtent partials[Policy::extent_rows][Policy::dim];
  const auto& in = params.in;
  const index_t batch = blockIdx.y / in.heads, head = blockIdx.y % in.heads;
  const index_t visible = params.options.visible(batch, in.tokens);
  const int lane = threadIdx.x % Policy::extent_lanes, row = threadIdx.x / Policy::extent_lanes;
  const index_t first = index_t{blockIdx.x} * Policy::chunk_tokens;
  const index_t end = min(first + Policy::chunk_tokens, visible);

  ChannelExtent extents[8];
#pragma unroll
  for (ChannelExtent& extent : extents) extent = ChannelExtent::none();
#pragma unroll 4
  for (index_t token = first + row; token < end; token += Policy::extent_rows) {
    float values[8];
    quantize_detail::load_channels<Policy>(in.row(batch, token, head) + lane * 8, values);
#pragma unroll
    for (int i = 0; i < 8; ++i) extents[i].add(values[i]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) partials[row][lane * 8 + i] = extents[i];
  __syncthreads();
  if (threadIdx.x >= Policy::dim) return;
  ChannelExtent sum = partials[0][threadIdx.x];
  for (int r = 1; r < Policy::extent_rows; ++r) sum.add(partials[r][threadIdx.x]);
  params.extents.row(blockIdx.y, blockIdx.x)[threadIdx.x] = sum;
}

struct ChannelScalesParams {
  quantize_detail::ExtentsView extents;
  QuantizeOptions options;
  index_t tokens, heads;
  HeadsView<float> means, scales;  ///< scales may have no data
};

/// One block of `dim` threads for each head of each batch element: from the chunks' extents to means and
/// scales.
template <class Policy>
__global__ void __launch_bounds__(Policy::dim) channel_scales_kernel(ChannelScalesParams params) {
  const index_t batch = blockIdx.x / params.heads, head = blockIdx.x % params.heads;
  auto extent = ChannelExtent::none();
  for (int chunk = 0; chunk < params.extents.chunks; ++chunk)
    extent.add(params.extents.row(blockIdx.x, chunk)[threadIdx.x]);
  const index_t visible = params.options.visible(batch, params.tokens);
  const float mean = params.options.center ? extent.mean(visible) : 0.0f;
  params.means.row(batch, 0, head)[threadIdx.x] = mean;
  if (params.scales.data != nullptr)
    params.scales.row(batch, 0, head)[threadIdx.x] = BlockScale::of(extent.radius(mean)).scale;
}

template <class T>
struct QuantizeHeadsParams {
  HeadsView<const T> in;
  HeadsView<const float> means;
  QuantizeOptions options;
  QuantizedHeads<fp8_e4m3> out;
};

/// One block for each block of 128 tokens (x) of each head of each batch element (y). The rows stay in
/// registers until their largest magnitude is known.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    quantize_heads_kernel(QuantizeHeadsParams<typename Policy::Element> params) {
  using Reduce = cub::BlockReduce<float, Policy::threads>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ float shared_largest;
  const auto& in = params.in;
  const index_t batch = blockIdx.y / in.heads, head = blockIdx.y % in.heads, block = blockIdx.x;
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
        quantize_detail::load_channels<Policy>(in.row(batch, token, head) + channel + i, rows[round] + i);
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
    params.out.scale(batch, block, head) = BlockScale::of(of_block).scale;
  }
  __syncthreads();
  const float inverse = BlockScale::of(shared_largest).inverse;
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

/// One block for each 128 tokens (x) of each head of each batch element (y). A thread makes words of the four
/// neighbouring positions of quantized_value_position; shared memory turns them.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    quantize_values_kernel(QuantizeValuesParams<typename Policy::Element> params) {
  constexpr int tokens = static_cast<int>(quantization_block_tokens), words = tokens / 4;
  // A row of 33 words: the writes of 4 octets of channels by 8 words meet all banks.
  __shared__ unsigned turned[Policy::dim][words + 1];
  const auto& in = params.in;
  const index_t batch = blockIdx.y / in.heads, head = blockIdx.y % in.heads;
  const index_t first = index_t{blockIdx.x} * tokens, visible = params.options.visible(batch, in.tokens);
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
        quantize_detail::load_channels<Policy>(in.row(batch, token, head) + octet * 8, values[i]);
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

namespace quantize_detail {

template <Element T>
bool packs_of_eight_fit(HeadsView<const T> view) {
  return packs_fit<8>(view.data, view.batch_stride, view.token_stride, view.head_stride);
}

/// Calls `function(policy)` for the head dimension and alignment at hand.
template <Element T, class Function>
void with_policy(index_t dim, bool is_aligned, Function&& function) {
  dispatch<128>("head dimension", dim, [&]<int built>(std::integral_constant<int, built>) {
    if (is_aligned) {
      function(QuantizePolicy<T, built, 8>{});
    } else {
      function(QuantizePolicy<T, built, 1>{});
    }
  });
}

inline int extent_chunks(index_t tokens) {
  constexpr index_t chunk = QuantizePolicy<bf16, 128, 8>::chunk_tokens;
  return static_cast<int>((tokens + chunk - 1) / chunk);
}

/// Means, and scales where they have data, of every channel of `in`.
template <Element T>
void channel_scales(Device device, HeadsView<const T> in, const QuantizeOptions& options,
                    HeadsView<float> means, HeadsView<float> scales, Workspace workspace) {
  const int chunks = extent_chunks(in.tokens);
  const index_t rows = in.batch * in.heads;
  const ExtentsView extents{workspace.take<ChannelExtent>(rows * chunks * in.dim), chunks,
                            static_cast<int>(in.dim)};
  with_policy<T>(in.dim, packs_of_eight_fit<T>(in), [&](auto policy) {
    using Policy = decltype(policy);
    if (chunks > 0)
      launch({.grid = dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(rows)),
              .block = Policy::threads,
              .stream = device.stream},
             channel_extents_kernel<Policy>, ChannelExtentsParams<T>{in, options, extents});
    launch({.grid = dim3(static_cast<unsigned>(rows)), .block = Policy::dim, .stream = device.stream},
           channel_scales_kernel<Policy>,
           ChannelScalesParams{extents, options, in.tokens, in.heads, means, scales});
  });
}

}  // namespace quantize_detail

/// Bytes that mean_of_heads and quantize_values need to sum up `in`.
template <class T>
std::size_t channel_extents_workspace(Device, HeadsView<const T> in) {
  return workspace_bytes<ChannelExtent>(in.batch * in.heads * quantize_detail::extent_chunks(in.tokens) *
                                        in.dim);
}

/// See the host's mean_of_heads. Two-byte elements, heads of 128 channels.
template <Element T>
void mean_of_heads(Device device, std::type_identity_t<HeadsView<const T>> in, const QuantizeOptions& options,
                   HeadsView<float> means, Workspace workspace) {
  if (in.batch * in.heads == 0) return;
  quantize_detail::channel_scales<T>(device, in, {.center = true, .lengths = options.lengths}, means, {},
                                     workspace);
}

/// See the host's quantize_heads: same shapes, errors and rounding. Two-byte elements, heads of 128 channels.
template <Element T>
void quantize_heads(Device device, std::type_identity_t<HeadsView<const T>> in, HeadsView<const float> means,
                    const QuantizeOptions& options, const QuantizedHeads<fp8_e4m3>& out) {
  require_quantize_heads_shapes<T>(in, means, out, options);
  if (in.batch * in.tokens * in.heads == 0) return;
  const auto& values = out.values;
  const bool is_aligned =
      quantize_detail::packs_of_eight_fit<T>(in) &&
      packs_fit<16>(values.data, values.batch_stride, values.token_stride, values.head_stride);
  quantize_detail::with_policy<T>(in.dim, is_aligned, [&](auto policy) {
    using Policy = decltype(policy);
    launch({.grid = dim3(static_cast<unsigned>(quantization_blocks(in.tokens)),
                         static_cast<unsigned>(in.batch * in.heads)),
            .block = Policy::threads,
            .stream = device.stream},
           quantize_heads_kernel<Policy>, QuantizeHeadsParams<T>{in, means, options, out});
  });
}

/// See the host's quantize_values: same shapes, errors and rounding. Two-byte elements, heads of 128
/// channels, codes aligned to four bytes.
template <Element T>
void quantize_values(Device device, std::type_identity_t<HeadsView<const T>> in,
                     const QuantizeOptions& options, const QuantizedValues<fp8_e4m3>& out,
                     Workspace workspace) {
  require_quantize_values_shapes<T>(in, out, options);
  if (in.batch * in.tokens * in.heads == 0) return;
  quantize_detail::channel_scales<T>(device, in, options, out.means, out.scales, workspace);
  quantize_detail::with_policy<T>(in.dim, quantize_detail::packs_of_eight_fit<T>(in), [&](auto policy) {
    using Policy = decltype(policy);
    launch({.grid = dim3(static_cast<unsigned>(quantization_blocks(in.tokens)),
                         static_cast<unsigned>(in.batch * in.heads)),
            .block = Policy::threads,
            .stream = device.stream},
           quantize_values_kernel<Policy>, QuantizeValuesParams<T>{in, options, out});
  });
}

}  // namespace stepvideo
