// Adding up ranks' contributions on the GPU, behind the same call as on the CPU.
#pragma once
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/sum_parts.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// A thread adds up one pack of every part: all of a warp's loads of a part are neighbours.
template <class T, int vector_elements>
struct SumPartsPolicy {
  using Element = T;
  static constexpr int vector = vector_elements, threads = 256;
  static constexpr index_t block_elements = index_t{threads} * vector;
};

template <class T>
struct SumPartsParams {
  MatrixView<const T> parts;
  VectorView<T> sum;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    sum_parts_kernel(SumPartsParams<typename Policy::Element> params) {
  constexpr int vector = Policy::vector;
  const index_t first = index_t{blockIdx.x} * Policy::block_elements + index_t{threadIdx.x} * vector;
  if (first >= params.sum.size) return;
  float sum[vector];
  widen_pack(load_pack_once<vector>(params.parts.row(0) + first), sum);
  for (index_t part = 1; part < params.parts.rows; ++part) {
    float added[vector];
    widen_pack(load_pack_once<vector>(params.parts.row(part) + first), added);
#pragma unroll
    for (int e = 0; e < vector; ++e) sum[e] += added[e];
  }
  store_pack(params.sum.data + first, round_pack<typename Policy::Element>(sum));
}

/// See the host's sum_parts: same shapes, errors and bits. Runs on device.stream.
template <Element T>
void sum_parts(Device device, std::type_identity_t<MatrixView<const T>> parts, VectorView<T> sum) {
  require_parts<T>(parts, sum);
  if (sum.size == 0) return;
  const auto launch_with = [&](auto policy, VectorView<T> of, index_t first) {
    using Policy = decltype(policy);
    const MatrixView<const T> from{parts.data + first, parts.rows, of.size, parts.row_stride};
    launch({.grid = grid_blocks("sum_parts", (of.size + Policy::block_elements - 1) / Policy::block_elements),
            .block = Policy::threads,
            .stream = device.stream},
           sum_parts_kernel<Policy>, SumPartsParams<T>{from, of});
  };
  constexpr int vector = widest_access_bytes / static_cast<int>(sizeof(T));
  const bool has_packs =
      packs_fit<vector>(parts.data, parts.row_stride) && packs_fit<vector>(static_cast<void*>(sum.data));
  const index_t in_packs = has_packs ? sum.size / vector * vector : 0;
  if (in_packs > 0) launch_with(SumPartsPolicy<T, vector>{}, {sum.data, in_packs}, 0);
  if (in_packs < sum.size)
    launch_with(SumPartsPolicy<T, 1>{}, {sum.data + in_packs, sum.size - in_packs}, in_packs);
}

}  // namespace stepvideo
