// Means and magnitudes of the channels of heads on the GPU, and what the quantising kernels share.
#pragma once
#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/quantize_attention.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// Tuning of the quantising kernels. A head's row of `dim` two-byte elements is read in packs of `vector`.
template <class T, int head_dim, int vector_elements>
struct QuantizePolicy {
  using Element = T;
  static constexpr int dim = head_dim, vector = vector_elements, threads = 256;

  /// Channel extents: a thread keeps `vector` channels, a block walks through `chunk_tokens` tokens.
  static constexpr int chunk_tokens = 512, extent_lanes = dim / 8, extent_rows = threads / extent_lanes;
  /// Queries and keys: a row lies in the registers of `row_lanes` lanes, a block of tokens in a block's.
  static constexpr int row_lanes = 8, row_values = dim / row_lanes;
  static constexpr int row_threads = 512, block_rows = row_threads / row_lanes;
  static constexpr int row_rounds = static_cast<int>(quantization_block_tokens) / block_rows;
  static_assert(sizeof(T) == 2, "a Device quantises heads of bf16 and fp16; convert() makes them of float");
  static_assert(row_values % 8 == 0);
};

namespace attention_detail {

/// Eight neighbouring channels as floats; packs of one where the view is not aligned.
template <class Policy, class T>
__device__ void load_channels(const T* source, float* values) {
#pragma unroll
  for (int i = 0; i < 8; i += Policy::vector) {
    float of_pack[Policy::vector];
    widen_pack(load_pack_once<Policy::vector>(source + i), of_pack);
#pragma unroll
    for (int e = 0; e < Policy::vector; ++e) values[i + e] = of_pack[e];
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

}  // namespace attention_detail

template <class T>
struct ChannelExtentsParams {
  HeadsView<const T> in;
  QuantizeOptions options;
  attention_detail::ExtentsView extents;
};

/// One block for each head of each batch element (x) of each chunk of tokens (y).
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    channel_extents_kernel(ChannelExtentsParams<typename Policy::Element> params) {
  __shared__ ChannelExtent partials[Policy::extent_rows][Policy::dim];
  const auto& in = params.in;
  const auto heads = static_cast<unsigned>(in.heads);
  const index_t batch = blockIdx.x / heads, head = blockIdx.x % heads;
  const index_t visible = params.options.visible(batch, in.tokens);
  const int lane = threadIdx.x % Policy::extent_lanes, row = threadIdx.x / Policy::extent_lanes;
  const index_t first = index_t{blockIdx.y} * Policy::chunk_tokens;
  const index_t end = min(first + Policy::chunk_tokens, visible);

  ChannelExtent extents[8];
#pragma unroll
  for (ChannelExtent& extent : extents) extent = ChannelExtent::none();
#pragma unroll 4
  for (index_t token = first + row; token < end; token += Policy::extent_rows) {
    float values[8];
    attention_detail::load_channels<Policy>(in.row(batch, token, head) + lane * 8, values);
#pragma unroll
    for (int i = 0; i < 8; ++i) extents[i].add(values[i]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) partials[row][lane * 8 + i] = extents[i];
  __syncthreads();
  if (threadIdx.x >= Policy::dim) return;
  ChannelExtent sum = partials[0][threadIdx.x];
  for (int r = 1; r < Policy::extent_rows; ++r) sum.add(partials[r][threadIdx.x]);
  params.extents.row(blockIdx.x, blockIdx.y)[threadIdx.x] = sum;
}

struct ChannelScalesParams {
  attention_detail::ExtentsView extents;
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
#pragma unroll 16
  for (int chunk = 0; chunk < params.extents.chunks; ++chunk)
    extent.add(params.extents.row(blockIdx.x, chunk)[threadIdx.x]);
  const index_t visible = params.options.visible(batch, params.tokens);
  const float mean = params.options.center ? extent.center(visible) : 0.0f;
  params.means.row(batch, 0, head)[threadIdx.x] = mean;
  if (params.scales.data != nullptr)
    params.scales.row(batch, 0, head)[threadIdx.x] = Fp8Scale::of(extent.radius(mean)).scale;
}

namespace attention_detail {

/// Calls `function(policy)` for the head dimension and alignment at hand.
template <Element T, class Function>
void with_policy(index_t dim, const Misalignment& misaligned, Function&& function) {
  dispatch<64, 128>("head dimension", dim, [&]<int built>(std::integral_constant<int, built>) {
    if (misaligned) {
      function(QuantizePolicy<T, built, 1>{});
    } else {
      function(QuantizePolicy<T, built, 8>{});
    }
  });
}

/// Heads are blocks along a grid's x, and blocks of 128 tokens along its y.
template <class T>
void require_quantizable(const char* kernel, const HeadsView<T>& in) {
  constexpr index_t most_heads = (index_t{1} << 31) - 1, most_tokens = 65'535 * quantization_block_tokens;
  require(in.batch * in.heads <= most_heads && in.tokens <= most_tokens, [&] {
    return std::string(kernel) + ": in is " + shape_text(in) + "; on the device there may be " +
           std::to_string(most_heads) + " heads of all batch elements, and " + std::to_string(most_tokens) +
           " tokens";
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
  with_policy<T>(in.dim, quantize_values_misalignment<T>(in), [&](auto policy) {
    using Policy = decltype(policy);
    if (chunks > 0)
      launch({.grid = dim3(static_cast<unsigned>(rows), static_cast<unsigned>(chunks)),
              .block = Policy::threads,
              .stream = device.stream},
             channel_extents_kernel<Policy>, ChannelExtentsParams<T>{in, options, extents});
    launch({.grid = dim3(static_cast<unsigned>(rows)), .block = Policy::dim, .stream = device.stream},
           channel_scales_kernel<Policy>,
           ChannelScalesParams{extents, options, in.tokens, in.heads, means, scales});
  });
}

}  // namespace attention_detail

/// Bytes that mean_of_heads and quantize_values need to sum up `in`.
template <class T>
std::size_t channel_extents_workspace(Device, HeadsView<const T> in) {
  return workspace_bytes<ChannelExtent>(in.batch * in.heads * attention_detail::extent_chunks(in.tokens) *
                                        in.dim);
}

/// See the host's mean_of_heads. Two-byte elements, heads of 64 or 128 channels.
template <Element T>
void mean_of_heads(Device device, std::type_identity_t<HeadsView<const T>> in, const QuantizeOptions& options,
                   HeadsView<float> means, Workspace workspace) {
  require_mean_of_heads_shapes<T>(in, means, options);
  attention_detail::require_quantizable("mean_of_heads", in);
  if (in.batch * in.heads == 0) return;
  attention_detail::channel_scales<T>(device, in, {.center = true, .lengths = options.lengths}, means, {},
                                      workspace);
}

}  // namespace stepvideo
