// The transformer's sense of time on the GPU, behind the same calls as on the CPU. A few thousand elements:
// what counts is the launch.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/timestep.hpp>
#include <stepvideo/kernels/tile/grid.hpp>

namespace stepvideo {

template <class T>
struct TimestepPolicy {
  using Element = T;
  static constexpr int threads = 256;  ///< one element each; a grid's row is a row of the result
};

template <class T>
struct SinusoidParams {
  VectorView<const float> times;
  MatrixView<T> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    timestep_sinusoids_kernel(SinusoidParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  const index_t row = blockIdx.y, i = index_t{blockIdx.x} * Policy::threads + threadIdx.x;
  const index_t half = params.out.columns / 2;
  if (i >= half) return;
  // In double, as on the host: an angle of a thousand radians has few digits left in float32.
  const double frequency = pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
  double sine, cosine;
  sincos(1000.0 * static_cast<double>(params.times[row]) * frequency, &sine, &cosine);
  params.out.row(row)[i] = T(static_cast<float>(cosine));
  params.out.row(row)[half + i] = T(static_cast<float>(sine));
}

/// See the host's timestep_sinusoids: same shapes, same errors, same rounding. Runs on device.stream.
template <Element T>
void timestep_sinusoids(Device device, VectorView<const float> times, MatrixView<T> out) {
  require_timestep_shapes(times, out);
  using Policy = TimestepPolicy<T>;
  const auto blocks = (out.columns / 2 + Policy::threads - 1) / Policy::threads;
  for_each_grid_run(out.rows, [&](index_t first, unsigned count) {
    launch({.grid = dim3(grid_blocks("timestep_sinusoids", blocks), count),
            .block = Policy::threads,
            .stream = device.stream},
           timestep_sinusoids_kernel<Policy>,
           SinusoidParams<T>{{times.data + first, count}, from_batch(out, first)});
  });
}

template <class T>
struct TableParams {
  MatrixView<const T> in, table;
  MatrixView<float> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    add_table_kernel(TableParams<typename Policy::Element> params) {
  const index_t batch = blockIdx.y;
  const unsigned i = blockIdx.x * Policy::threads + threadIdx.x;
  if (i >= params.out.columns) return;
  const auto width = static_cast<unsigned>(params.table.columns), row = i / width, column = i % width;
  const bool is_shared = params.in.columns == params.table.columns;
  params.out.row(batch)[i] =
      float(params.table.row(row)[column]) + float(params.in.row(batch)[is_shared ? column : i]);
}

/// See the host's add_table: same shapes, same errors, the same bits. Runs on device.stream.
template <Element T>
void add_table(Device device, std::type_identity_t<MatrixView<const T>> in, MatrixView<const T> table,
               MatrixView<float> out) {
  require_table_shapes<T>(in, table, out);
  if (out.columns == 0) return;
  using Policy = TimestepPolicy<T>;
  const int columns = row_channels("add_table", out.columns);
  const auto blocks = static_cast<unsigned>((columns + Policy::threads - 1) / Policy::threads);
  for_each_grid_run(out.rows, [&](index_t first, unsigned count) {
    launch({.grid = dim3(blocks, count), .block = Policy::threads, .stream = device.stream},
           add_table_kernel<Policy>,
           TableParams<T>{from_batch(MatrixView<const T>(in), first), table, from_batch(out, first)});
  });
}

}  // namespace stepvideo
