// qk_norm_rope for any head dimension, split, stride and alignment: a warp has a row in shared memory.
#pragma once
#include <cstdint>
#include <cuda/functional>
#include <cuda/std/functional>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

template <class T>
struct QkNormRopeParams {
  HeadsView<const T> packed;
  QkNorm<T> norm;
  RopeTableView table;
  QkvOutput<T> out;

  /// Of the batch elements from `first` on.
  QkNormRopeParams from(index_t first) const {
    return {from_batch(packed, first),
            norm,
            table,
            {from_batch(out.queries, first), from_batch(out.keys, first), from_batch(out.values, first)}};
  }
};

template <class T>
struct QuantizedQkParams {
  HeadsView<const T> packed;
  QkNorm<T> norm;
  RopeTableView table;
  QuantizedQkOutput out;

  /// Of the batch elements from `first` on.
  QuantizedQkParams from(index_t first) const {
    return {from_batch(packed, first),
            norm,
            table,
            {from_batch(out.queries, first), from_batch(out.keys, first), out.rotation}};
  }
};

/// Neighbouring tokens of one head: what a block of threads makes.
struct QkTile {
  index_t batch, head, first_token;

  template <class T>
  static constexpr index_t count(const HeadsView<T>& heads, int tokens) {
    return heads.batch * heads.heads * ((heads.tokens + tokens - 1) / tokens);
  }
  /// Tile `index` of tiles of `tokens` tokens, heads first.
  template <class T>
  static constexpr QkTile of(std::uint32_t index, const HeadsView<T>& heads, int tokens) {
    const auto head_count = static_cast<std::uint32_t>(heads.heads),
               tiles = static_cast<std::uint32_t>((heads.tokens + tokens - 1) / tokens);
    const std::uint32_t head = index % head_count, rest = index / head_count;
    return {rest / tiles, head, index_t{rest % tiles} * tokens};
  }
};

/// A block of warps that take rows in turn.
template <class T>
struct AnyQkPolicy {
  using Element = T;
  static constexpr int threads = 256, warps = threads / warp_lanes, tokens = quantization_block_tokens;
  using Reduce = LanesAllReduce<warp_lanes>;
  using Storage = typename Reduce::Storage[warps];
};

namespace rope_detail {

/// row = rope3d(rms_norm(source)), not yet rounded to T, in shared memory; one warp, which must not be
/// reading row.
template <class Policy>
__device__ void make_row_in_warp(const typename Policy::Element* source,
                                 VectorView<const typename Policy::Element> weight, float epsilon,
                                 const RopeTableView& table, index_t token, float* row,
                                 typename Policy::Reduce::Storage& storage) {
  using T = typename Policy::Element;
  const int lane = threadIdx.x % warp_lanes;
  const index_t dim = weight.size;
  float squares = 0;
  for (index_t i = lane; i < dim; i += warp_lanes) {
    row[i] = float(source[i]);
    squares += row[i] * row[i];
  }
  const float sum = Policy::Reduce::reduce(storage, squares, ::cuda::std::plus<>{});
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(dim) + epsilon);
  for (index_t i = lane; i < dim; i += warp_lanes)
    row[i] = float(T(float(T(row[i] * scale)) * float(weight[i])));
  __syncwarp();

  const auto position = RopePosition::of(table, token);
  const auto turn_axis = [&](const RopeAxis& axis, int place) {
    for (index_t i = lane; i < axis.pairs; i += warp_lanes) {
      float &first = row[axis.first_channel + i], &second = row[axis.first_channel + axis.pairs + i];
      const float a = first, b = second;
      const float cosine = axis.cosines[place * axis.pairs + i], sine = axis.sines[place * axis.pairs + i];
      first = a * cosine - b * sine;
      second = b * cosine + a * sine;
    }
  };
  turn_axis(table.frame, position.frame);
  turn_axis(table.row, position.row);
  turn_axis(table.column, position.column);
  __syncwarp();
}

/// Rounds the row to T and rotates it.
template <class T>
__device__ void rotate_in_warp(float* row, index_t dim) {
  const int lane = threadIdx.x % warp_lanes;
  for (index_t i = lane; i < dim; i += warp_lanes) row[i] = float(T(row[i]));
  __syncwarp();
  for (index_t stride = 1; stride < dim; stride *= 2) {
    for (index_t pair = lane; pair < dim / 2; pair += warp_lanes) {
      const index_t i = pair / stride * 2 * stride + pair % stride;
      const float a = row[i], b = row[i + stride];
      row[i] = a + b;
      row[i + stride] = a - b;
    }
    __syncwarp();
  }
  for (index_t i = lane; i < dim; i += warp_lanes) row[i] *= rsqrtf(static_cast<float>(dim));
}

}  // namespace rope_detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    qk_norm_rope_any_kernel(QkNormRopeParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  extern __shared__ float rows[];  // one for each warp
  __shared__ typename Policy::Storage storage;
  const auto& [packed, norm, table, out] = params;
  const int warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
  float* row = rows + warp * table.dim;
  const QkTile tile = QkTile::of(blockIdx.x, packed, Policy::tokens);

  for (index_t token = tile.first_token + warp;
       token < packed.tokens && token < tile.first_token + Policy::tokens; token += Policy::warps) {
    const T* source = packed.row(tile.batch, token, tile.head);
    const auto make = [&](const T* from, VectorView<const T> weight, T* to) {
      rope_detail::make_row_in_warp<Policy>(from, weight, norm.epsilon, table, token, row, storage[warp]);
      for (index_t i = lane; i < table.dim; i += warp_lanes) to[i] = T(row[i]);
      __syncwarp();
    };
    make(source, norm.query_weight, out.queries.row(tile.batch, token, tile.head));
    make(source + table.dim, norm.key_weight, out.keys.row(tile.batch, token, tile.head));
    if (out.values.data == nullptr) continue;
    T* to = out.values.row(tile.batch, token, tile.head);
    for (index_t i = lane; i < table.dim; i += warp_lanes) to[i] = source[2 * table.dim + i];
  }
}

/// Makes its rows twice: for the scale, and to store them.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    quantized_qk_any_kernel(QuantizedQkParams<typename Policy::Element> params) {
  using BlockReduce = BlockAllReduce<Policy::threads, 1>;
  extern __shared__ float rows[];
  __shared__ typename Policy::Storage storage;
  __shared__ typename BlockReduce::Storage block_storage;
  const auto& [packed, norm, table, out] = params;
  const int warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
  float* row = rows + warp * table.dim;

  const bool is_query = blockIdx.x % 2 == 0;
  const QkTile tile = QkTile::of(blockIdx.x / 2, packed, Policy::tokens);
  const QuantizedHeads<fp8_e4m3>& to = is_query ? out.queries : out.keys;
  const auto for_each_row = [&](auto&& use) {
    for (index_t token = tile.first_token + warp;
         token < packed.tokens && token < tile.first_token + Policy::tokens; token += Policy::warps) {
      rope_detail::make_row_in_warp<Policy>(
          packed.row(tile.batch, token, tile.head) + (is_query ? 0 : table.dim),
          is_query ? norm.query_weight : norm.key_weight, norm.epsilon, table, token, row, storage[warp]);
      if (out.rotation == HeadRotation::hadamard)
        rope_detail::rotate_in_warp<typename Policy::Element>(row, table.dim);
      __syncwarp();
      for (index_t i = lane; i < table.dim; i += warp_lanes) use(token, i, row[i]);
      __syncwarp();
    }
  };
  float largest[] = {0};
  for_each_row([&](index_t, index_t, float value) { largest[0] = fmaxf(largest[0], fabsf(value)); });
  BlockReduce{block_storage}(largest, ::cuda::maximum<>{});
  const auto [scale, inverse] = Fp8Scale::of(largest[0]);
  if (threadIdx.x == 0) to.scale(tile.batch, tile.first_token / Policy::tokens, tile.head) = scale;
  for_each_row([&](index_t token, index_t i, float value) {
    to.values.row(tile.batch, token, tile.head)[i] = fp8_e4m3(value * inverse);
  });
}

namespace rope_detail {

template <class T>
void qk_norm_rope_any(Device device, const QkNormRopeParams<T>& params) {
  using Policy = AnyQkPolicy<T>;
  launch({.grid = grid_blocks("qk_norm_rope", QkTile::count(params.packed, Policy::tokens)),
          .block = Policy::threads,
          .shared_bytes = Policy::warps * static_cast<std::size_t>(params.table.dim) * sizeof(float),
          .stream = device.stream},
         qk_norm_rope_any_kernel<Policy>, params);
}

template <class T>
void quantized_qk_any(Device device, const QuantizedQkParams<T>& params) {
  using Policy = AnyQkPolicy<T>;
  launch({.grid = grid_blocks("qk_norm_rope", 2 * QkTile::count(params.packed, Policy::tokens)),
          .block = Policy::threads,
          .shared_bytes = Policy::warps * static_cast<std::size_t>(params.table.dim) * sizeof(float),
          .stream = device.stream},
         quantized_qk_any_kernel<Policy>, params);
}

}  // namespace rope_detail

}  // namespace stepvideo
