// Token ids to embeddings on the GPU, behind the same call as on the CPU.
#pragma once
#include <cstdint>
#include <cuda/std/limits>
#include <type_traits>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// A block makes the embedding of one token.
template <class ElementType, int vector_elements>
struct EmbedPolicy {
  using Element = ElementType;
  static constexpr int vector = vector_elements, threads = 256;
};

template <class T>
struct EmbedParams {
  MatrixView<const std::int32_t> ids;
  EmbeddingTables<T> tables;
  TokensView<T> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    embed_kernel(EmbedParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector;
  const auto& [ids, tables, out] = params;
  const index_t batch = blockIdx.y, token = blockIdx.x, id = ids.row(batch)[token];
  const bool is_word = id >= 0 && id < tables.words.rows;
  const int width = static_cast<int>(out.width);
  for (int i = threadIdx.x * vector; i < width; i += Policy::threads * vector) {
    float sum[vector];
    if (is_word) {
      widen_pack(load_constant_pack<vector>(tables.words.row(id) + i), sum);
    } else {
#pragma unroll
      for (float& value : sum) value = ::cuda::std::numeric_limits<float>::quiet_NaN();
    }
    const auto add = [&](const T* row) {
      float values[vector];
      widen_pack(load_constant_pack<vector>(row + i), values);
#pragma unroll
      for (int e = 0; e < vector; ++e) sum[e] += values[e];
    };
    if (tables.positions.data != nullptr) add(tables.positions.row(token));
    if (tables.everywhere.data != nullptr) add(tables.everywhere.data);
    store_pack_once(out.row(batch, token) + i, round_pack<T>(sum));
  }
}

/// See the host's embed: same shapes, the same bits. Runs on device.stream; the ids lie in the GPU's memory,
/// where nobody judges them before: one that is outside the vocabulary makes a row of NaN. require_token_ids
/// judges them while they are on the host.
template <Element T>
void embed(Device device, MatrixView<const std::int32_t> ids,
           std::type_identity_t<const EmbeddingTables<T>&> tables, TokensView<T> out) {
  require_embedding_shapes<T>(ids, tables, out);
  if (out.tokens == 0 || out.width == 0) return;
  row_channels("embed", out.width);
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    for_each_grid_run(out.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(grid_blocks("embed", out.tokens), count),
              .block = Policy::threads,
              .stream = device.stream},
             embed_kernel<Policy>, EmbedParams<T>{from_batch(ids, first), tables, from_batch(out, first)});
    });
  };
  constexpr int vector = widest_access_bytes / sizeof(T);
  if (packs_fit<vector>(out.data, out.width, out.batch_stride, out.token_stride) &&
      packs_fit<vector>(tables.words.data, tables.words.row_stride) &&
      packs_fit<vector>(tables.positions.data, tables.positions.row_stride) &&
      packs_fit<vector>(tables.everywhere.data)) {
    launch_with(EmbedPolicy<T, vector>{});
  } else {
    launch_with(EmbedPolicy<T, 1>{});
  }
}

}  // namespace stepvideo
