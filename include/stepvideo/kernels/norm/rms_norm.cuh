// RMSNorm on the GPU, behind the same call as on the CPU.
#pragma once
#include <cuda/std/functional>
#include <limits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<RmsNorm, Device> = true;
}  // namespace calls

/// A row is shared by `lanes` lanes of a warp that take `vector` elements each at a time. Heads of up to
/// `lanes` packs stay in registers. On an H200 over 75,888 tokens of 48 heads of 128 bf16: 91 % of the
/// device copy's 4228 GB/s (256 threads 90 %; two or four rows a lane 78 and 69 %).
template <class T, int vector_elements>
struct RmsNormPolicy {
  using Element = T;
  static constexpr int vector = vector_elements;
  static constexpr int threads = 128;
  // 16-byte loads: 16 lanes cover a head of 128 two-byte elements, 32 lanes one of 128 floats.
  static constexpr int lanes = sizeof(T) == 2 && vector > 1 ? 16 : 32;
  static constexpr int groups = threads / lanes;
  static constexpr index_t widest = index_t{lanes} * vector;
};

template <class T>
struct RmsNormParams {
  HeadsView<const T> in;
  VectorView<const T> weight;
  HeadsView<T> out;
  float epsilon, per_channel;  ///< 1 / dim
};

namespace norm_detail {

/// A row of one batch element: rows run over heads, then tokens. Index is as narrow as the count of rows
/// allows, for the division's sake.
template <class Index>
struct HeadPlace {
  Index token, head;

  __device__ HeadPlace(Index row, Index heads) : token(row / heads), head(row - token * heads) {}
};

/// Of the sum of a row's squares, shared by `lanes`.
template <int lanes, class T>
__device__ float rms_scale(typename LanesAllReduce<lanes>::Storage& storage, float squares,
                           const RmsNormParams<T>& params) {
  const float sum = LanesAllReduce<lanes>::reduce(storage, squares, cuda::std::plus<float>{});
  return rsqrtf(sum * params.per_channel + params.epsilon);
}

template <class T, int count>
__device__ Pack<T, count> scaled(const Pack<T, count>& in, float scale, const Pack<T, count>& weight) {
  float values[count], weights[count];
  widen_pack(in, values);
  widen_pack(weight, weights);
#pragma unroll
  for (int e = 0; e < count; ++e) values[e] *= scale;
  widen_pack(round_pack<T>(values), values);
#pragma unroll
  for (int e = 0; e < count; ++e) values[e] *= weights[e];
  return round_pack<T>(values);
}

}  // namespace norm_detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    rms_norm_kernel(RmsNormParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector;
  __shared__ typename LanesAllReduce<Policy::lanes>::Storage storage[Policy::groups];

  const int group = threadIdx.x / Policy::lanes, column = threadIdx.x % Policy::lanes * vector;
  const HeadsView<const T>& in = params.in;
  const auto heads = static_cast<unsigned>(in.heads), rows = static_cast<unsigned>(in.tokens) * heads;
  const unsigned row = blockIdx.x * Policy::groups + group;
  const bool has_pack = row < rows && column < in.dim;  // every lane stays for the reduction
  const norm_detail::HeadPlace<unsigned> place(row, heads);

  Pack<T, vector> pack{}, weight{};
  if (has_pack) {
    pack = load_pack_once<vector>(in.row(blockIdx.y, place.token, place.head) + column);
    weight = load_constant_pack<vector>(params.weight.data + column);
  }
  float squares = 0;
#pragma unroll
  for (int e = 0; e < vector; ++e) squares += float(pack.elements[e]) * float(pack.elements[e]);
  const float scale = norm_detail::rms_scale<Policy::lanes>(storage[group], squares, params);
  if (has_pack)
    store_pack_once(params.out.row(blockIdx.y, place.token, place.head) + column,
                    norm_detail::scaled(pack, scale, weight));
}

/// Rows of any length: read twice, the second time from L1.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    rms_norm_loop_kernel(RmsNormParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector, stride = Policy::lanes * vector;
  __shared__ typename LanesAllReduce<Policy::lanes>::Storage storage[Policy::groups];

  const int group = threadIdx.x / Policy::lanes, column = threadIdx.x % Policy::lanes * vector;
  const HeadsView<const T>& in = params.in;
  const index_t row = index_t{blockIdx.x} * Policy::groups + group;
  const bool is_row = row < in.tokens * in.heads;  // every lane stays for the reduction
  const norm_detail::HeadPlace<index_t> place(row, in.heads);
  const T* source = in.row(blockIdx.y, place.token, place.head);
  float squares = 0;
  if (is_row) {
    for (index_t i = column; i < in.dim; i += stride) {
      const auto pack = load_pack<vector>(source + i);
#pragma unroll
      for (int e = 0; e < vector; ++e) squares += float(pack.elements[e]) * float(pack.elements[e]);
    }
  }
  const float scale = norm_detail::rms_scale<Policy::lanes>(storage[group], squares, params);
  if (!is_row) return;

  T* target = params.out.row(blockIdx.y, place.token, place.head);
  for (index_t i = column; i < in.dim; i += stride)
    store_pack_once(target + i, norm_detail::scaled(load_pack<vector>(source + i), scale,
                                                    load_constant_pack<vector>(params.weight.data + i)));
}

/// See the host's rms_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <Element T>
void rms_norm(Device device, std::type_identity_t<HeadsView<const T>> in,
              std::type_identity_t<VectorView<const T>> weight, float epsilon, HeadsView<T> out) {
  require_rms_norm_shapes<T>(in, weight, out);
  const index_t rows = in.tokens * in.heads;  // of a batch element
  if (rows == 0 || in.dim == 0) return;

  constexpr int vector = widest_access_bytes / sizeof(T);
  const auto launch_with = [&](auto policy, index_t rows_per_block, auto kernel) {
    const unsigned blocks = grid_blocks("rms_norm", (rows + rows_per_block - 1) / rows_per_block);
    for_each_grid_run(in.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(blocks, count), .block = policy.threads, .stream = device.stream}, kernel,
             RmsNormParams<T>{from_batch(in, first), weight, from_batch(out, first), epsilon,
                              1.0f / static_cast<float>(in.dim)});
    });
  };
  using Fast = RmsNormPolicy<T, vector>;
  using Scalar = RmsNormPolicy<T, 1>;
  if (!packs_fit<vector>(in.data, in.dim, in.batch_stride, in.token_stride, in.head_stride) ||
      !packs_fit<vector>(out.data, out.batch_stride, out.token_stride, out.head_stride) ||
      !packs_fit<vector>(weight.data)) {
    launch_with(Scalar{}, Scalar::groups, rms_norm_loop_kernel<Scalar>);
  } else if (in.dim > Fast::widest || rows > std::numeric_limits<int>::max()) {
    launch_with(Fast{}, Fast::groups, rms_norm_loop_kernel<Fast>);
  } else {
    launch_with(Fast{}, Fast::groups, rms_norm_kernel<Fast>);
  }
}

}  // namespace stepvideo
