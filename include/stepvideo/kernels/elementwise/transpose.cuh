// A matrix with its rows and columns exchanged, on the GPU.
#pragma once
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/grid.hpp>

namespace stepvideo {

template <class T>
struct TransposePolicy {
  using Element = T;
  static constexpr int tile = 32, rows = 8;  ///< a block has rows x tile threads
};

template <class T>
struct TransposeParams {
  MatrixView<const T> in;
  MatrixView<T> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::tile* Policy::rows)
    transpose_kernel(TransposeParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int tile = Policy::tile;
  __shared__ T values[tile][tile + 1];
  const index_t first_row = index_t{blockIdx.x} * tile, first_column = index_t{blockIdx.y} * tile;
  const int lane = threadIdx.x % tile, line = threadIdx.x / tile;
  for (int i = line; i < tile; i += Policy::rows) {
    const index_t row = first_row + i, column = first_column + lane;
    const bool is_there = row < params.in.rows && column < params.in.columns;
    values[i][lane] = is_there ? params.in.row(row)[column] : T(0.0f);
  }
  __syncthreads();
  for (int i = line; i < tile; i += Policy::rows) {
    const index_t row = first_column + i, column = first_row + lane;
    if (row < params.out.rows && column < params.out.columns) params.out.row(row)[column] = values[lane][i];
  }
}

/// out[c, r] = in[r, c], and 0 in the columns that out has beyond in's rows. Must not overlap. Runs on
/// device.stream. Throws RequestError unless out has a row for each column of in and no fewer columns than in
/// rows.
template <Element T>
void transpose(Device device, MatrixView<const T> in, MatrixView<T> out) {
  using Policy = TransposePolicy<T>;
  require(out.rows == in.columns && out.columns >= in.rows, [&] {
    return "transpose: in is " + shape_text(in) + " and out " + shape_text(out) +
           "; out must have a row for each column of in, and a column for each row or more";
  });
  if (out.rows == 0 || out.columns == 0) return;
  const auto tiles = [](index_t extent) { return (extent + Policy::tile - 1) / Policy::tile; };
  launch({.grid = dim3(grid_blocks("transpose", tiles(out.columns)),
                       short_grid_blocks("transpose", tiles(out.rows))),
          .block = Policy::tile * Policy::rows,
          .stream = device.stream},
         transpose_kernel<Policy>, TransposeParams<T>{in, out});
}

}  // namespace stepvideo
