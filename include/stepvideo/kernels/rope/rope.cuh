// 3D rotary embedding on the GPU, behind the same call as on the CPU.
#pragma once
#include <cstdint>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/rope/rope.hpp>
#include <stepvideo/kernels/rope/rope_table.cuh>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Rope, Device> = true;
}  // namespace calls

/// A thread turns `vector` neighbouring pairs at a time.
template <class T, int vector_pairs>
struct RopePolicy {
  using Element = T;
  static constexpr int vector = vector_pairs, threads = 128;
};

template <class T>
struct RopeParams {
  HeadsView<T> heads;
  RopeTableView table;
};

/// A block turns the heads of one token.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    rope3d_kernel(RopeParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector;
  const auto& [heads, table] = params;
  const index_t token = blockIdx.x;
  const auto position = RopePosition::of(table, token);
  const int vectors = static_cast<int>(heads.dim) / (2 * vector),
            count = static_cast<int>(heads.heads) * vectors;

  for (int item = threadIdx.x; item < count; item += Policy::threads) {
    const index_t pair = item % vectors * vector;
    const bool is_frame = pair < table.frame.pairs, is_row = pair < table.frame.pairs + table.row.pairs;
    const RopeAxis& axis = is_frame ? table.frame : is_row ? table.row : table.column;
    const index_t place = is_frame ? position.frame : is_row ? position.row : position.column;
    const index_t of_axis = pair - axis.first_channel / 2;  // two channels make a pair

    T* first = heads.row(blockIdx.y, token, item / vectors) + axis.first_channel + of_axis;
    T* second = first + axis.pairs;
    float a[vector], b[vector], turned[vector];
    widen_pack(load_pack_once<vector>(first), a);
    widen_pack(load_pack_once<vector>(second), b);
    const auto cosines = load_pack<vector>(axis.cosines + place * axis.pairs + of_axis),
               sines = load_pack<vector>(axis.sines + place * axis.pairs + of_axis);
#pragma unroll
    for (int i = 0; i < vector; ++i) turned[i] = a[i] * cosines.elements[i] - b[i] * sines.elements[i];
    store_pack_once(first, round_pack<T>(turned));
#pragma unroll
    for (int i = 0; i < vector; ++i) turned[i] = b[i] * cosines.elements[i] + a[i] * sines.elements[i];
    store_pack_once(second, round_pack<T>(turned));
  }
}

/// See the host's rope3d: same shapes, same errors. Runs on device.stream.
template <Element T>
void rope3d(Device device, HeadsView<T> heads, const RopeTableView& table) {
  require_rope_shapes(heads, table);
  if (element_count(heads) == 0) return;
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    for_each_grid_run(heads.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(grid_blocks("rope3d", heads.tokens), count),
              .block = Policy::threads,
              .stream = device.stream},
             rope3d_kernel<Policy>, RopeParams<T>{from_batch(heads, first), table});
    });
  };
  constexpr int widest = 8;
  const auto axis_fits = [](const RopeAxis& axis) {
    return packs_fit<widest>(axis.cosines, axis.pairs) && packs_fit<widest>(axis.sines);
  };
  if (packs_fit<widest>(heads.data, heads.batch_stride, heads.token_stride, heads.head_stride) &&
      axis_fits(table.frame) && axis_fits(table.row) && axis_fits(table.column)) {
    launch_with(RopePolicy<T, widest>{});
  } else {
    launch_with(RopePolicy<T, 1>{});
  }
}

}  // namespace stepvideo
