// RMSNorm on the GPU, behind the same call as on the CPU.
#pragma once
#include <cuda/std/functional>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// A row is shared by `lanes` lanes of a warp that take `vector` elements each at a time. Heads of up to
/// `lanes` packs stay in registers, `rows` neighbouring heads at once, so that many loads are in flight.
template <class T, int vector_elements>
struct RmsNormPolicy {
  using Element = T;
  static constexpr int vector = vector_elements;
  static constexpr int threads = 256;
  // 16-byte loads: 16 lanes cover a head of 128 two-byte elements, 32 lanes one of 128 floats.
  static constexpr int lanes = sizeof(T) == 2 && vector > 1 ? 16 : 32;
  static constexpr int groups = threads / lanes;
  static constexpr int rows = 4;
  static constexpr index_t widest = index_t{lanes} * vector;
};

template <class T>
struct RmsNormParams {
  HeadsView<const T> in;
  VectorView<const T> weight;
  HeadsView<T> out;
  float epsilon;
};

namespace detail {

/// A row's place: rows run over heads, then tokens, then batch elements.
struct HeadPlace {
  index_t batch, token, head;

  template <class T>
  static __device__ HeadPlace of(index_t row, const HeadsView<T>& view) {
    const index_t all_tokens = row / view.heads;
    return {all_tokens / view.tokens, all_tokens % view.tokens, row - all_tokens * view.heads};
  }
  template <class T>
  __device__ void advance(const HeadsView<T>& view) {
    if (++head < view.heads) return;
    head = 0;
    if (++token < view.tokens) return;
    token = 0, ++batch;
  }
  template <class T>
  __device__ T* row_of(const HeadsView<T>& view) const {
    return view.row(batch, token, head);
  }
};

/// Of the sum of a row's squares, shared by `lanes`.
template <int lanes>
__device__ float rms_scale(typename LanesAllReduce<lanes>::Storage& storage, float squares, index_t dim,
                           float epsilon) {
  const float sum = LanesAllReduce<lanes>::reduce(storage, squares, cuda::std::plus<float>{});
  return 1.0f / sqrtf(sum / static_cast<float>(dim) + epsilon);
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

}  // namespace detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    rms_norm_kernel(RmsNormParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector, rows = Policy::rows;
  __shared__ typename LanesAllReduce<Policy::lanes>::Storage storage[rows][Policy::groups];

  const int group = threadIdx.x / Policy::lanes, column = threadIdx.x % Policy::lanes * vector;
  const HeadsView<const T>& in = params.in;
  const index_t first = (index_t{blockIdx.x} * Policy::groups + group) * rows;
  const index_t count = in.batch * in.tokens * in.heads - first;  // every lane stays for the reduction
  const bool has_column = column < in.dim;

  const auto first_place = detail::HeadPlace::of(first, in);
  Pack<T, vector> packs[rows] = {};
  auto place = first_place;
#pragma unroll
  for (int r = 0; r < rows; ++r, place.advance(in))
    if (r < count && has_column) packs[r] = load_pack_once<vector>(place.row_of(in) + column);
  Pack<T, vector> weight{};
  if (has_column) weight = load_constant_pack<vector>(params.weight.data + column);

  place = first_place;
#pragma unroll
  for (int r = 0; r < rows; ++r, place.advance(in)) {
    float squares = 0;
#pragma unroll
    for (int e = 0; e < vector; ++e) squares += float(packs[r].elements[e]) * float(packs[r].elements[e]);
    const float scale = detail::rms_scale<Policy::lanes>(storage[r][group], squares, in.dim, params.epsilon);
    if (r < count && has_column)
      store_pack_once(place.row_of(params.out) + column, detail::scaled(packs[r], scale, weight));
  }
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
  const bool is_row = row < in.batch * in.tokens * in.heads;  // every lane stays for the reduction
  const auto place = detail::HeadPlace::of(row, in);
  const T* source = place.row_of(in);
  float squares = 0;
  if (is_row) {
    for (index_t i = column; i < in.dim; i += stride) {
      const auto pack = load_pack<vector>(source + i);
#pragma unroll
      for (int e = 0; e < vector; ++e) squares += float(pack.elements[e]) * float(pack.elements[e]);
    }
  }
  const float scale = detail::rms_scale<Policy::lanes>(storage[group], squares, in.dim, params.epsilon);
  if (!is_row) return;

  T* target = place.row_of(params.out);
  for (index_t i = column; i < in.dim; i += stride)
    store_pack_once(target + i, detail::scaled(load_pack<vector>(source + i), scale,
                                               load_constant_pack<vector>(params.weight.data + i)));
}

/// See the host's rms_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <Element T>
void rms_norm(Device device, std::type_identity_t<HeadsView<const T>> in,
              std::type_identity_t<VectorView<const T>> weight, float epsilon, HeadsView<T> out) {
  require_rms_norm_shapes<T>(in, weight, out);
  const index_t rows = in.batch * in.tokens * in.heads;
  if (rows == 0) return;

  constexpr int vector = widest_access_bytes / sizeof(T);
  const auto launch_with = [&](auto policy, index_t rows_per_block, auto kernel) {
    const auto blocks = (rows + rows_per_block - 1) / rows_per_block;
    launch({.grid = dim3(static_cast<unsigned>(blocks)), .block = policy.threads, .stream = device.stream},
           kernel, RmsNormParams<T>{in, weight, out, epsilon});
  };
  using Fast = RmsNormPolicy<T, vector>;
  using Scalar = RmsNormPolicy<T, 1>;
  if (!packs_fit<vector>(in.data, in.dim, in.batch_stride, in.token_stride, in.head_stride) ||
      !packs_fit<vector>(out.data, out.batch_stride, out.token_stride, out.head_stride) ||
      !packs_fit<vector>(weight.data)) {
    launch_with(Scalar{}, Scalar::groups, rms_norm_loop_kernel<Scalar>);
  } else if (in.dim > Fast::widest) {
    launch_with(Fast{}, Fast::groups, rms_norm_loop_kernel<Fast>);
  } else {
    launch_with(Fast{}, Fast::groups * Fast::rows, rms_norm_kernel<Fast>);
  }
}

}  // namespace stepvideo
