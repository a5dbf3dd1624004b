// An epilogue over products that lie in memory: what the library does not apply itself.
#pragma once
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>

namespace stepvideo {

/// A block takes `columns` results of a row, one after the other in the lanes of a warp, so that what an
/// epilogue reads beside the product is read in whole lines as well.
template <class Finish, class Result>
struct ApplyEpiloguePolicy {
  using Epilogue = Finish;
  using Out = Result;
  static constexpr int threads = 128, steps = 4;
  static constexpr index_t columns = threads * steps;
};

template <class Policy>
struct ApplyEpilogueParams {
  MatrixView<const float> products;  ///< (rows, columns), or (rows, 2 columns) for a PairEpilogue
  typename Policy::Epilogue epilogue;
  index_t first_row;  ///< which row of the epilogue the first of these is
  MatrixView<typename Policy::Out> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) apply_epilogue_kernel(ApplyEpilogueParams<Policy> params) {
  const index_t row = blockIdx.x, columns = params.out.columns;
  const index_t first = index_t{blockIdx.y} * Policy::columns + threadIdx.x;
  const float* y = params.products.row(row);
  const auto at_row = params.epilogue.row(params.first_row + row);
  // All of them before the first is stored: the epilogue may read what lies in `out`.
  float results[Policy::steps];
#pragma unroll
  for (int step = 0; step < Policy::steps; ++step) {
    const index_t column = first + step * Policy::threads;
    if (column >= columns) break;
    if constexpr (PairEpilogue<typename Policy::Epilogue>) {
      results[step] = at_row(y[column], y[columns + column], column);
    } else {
      results[step] = at_row(y[column], column);
    }
  }
  typename Policy::Out* target = params.out.row(row);
#pragma unroll
  for (int step = 0; step < Policy::steps; ++step) {
    const index_t column = first + step * Policy::threads;
    if (column < columns) round_into(target[column], results[step]);
  }
}

/// out = epilogue(products), `first_row` being the epilogue's row of the first. Runs on device.stream.
template <class Finish, class Out>
void apply_epilogue(Device device, MatrixView<const float> products, const Finish& epilogue,
                    index_t first_row, MatrixView<Out> out) {
  using Policy = ApplyEpiloguePolicy<Finish, Out>;
  const index_t column_blocks = (out.columns + Policy::columns - 1) / Policy::columns;
  launch({.grid = dim3(static_cast<unsigned>(out.rows), static_cast<unsigned>(column_blocks)),
          .block = Policy::threads,
          .stream = device.stream},
         apply_epilogue_kernel<Policy>, ApplyEpilogueParams<Policy>{products, epilogue, first_row, out});
}

}  // namespace stepvideo
