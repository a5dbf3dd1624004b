// What the transformer is told of time: sinusoids of the timestep, and the tables they are added to.
#pragma once
#include <cmath>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What timestep_sinusoids requires, on any execution.
template <class T>
void require_timestep_shapes(VectorView<const float> times, MatrixView<T> out) {
  require(out.rows == times.size && out.columns > 0 && out.columns % 2 == 0, [&] {
    return "timestep_sinusoids: out is " + shape_text(out) + " for " + std::to_string(times.size) +
           " times; it needs a row for each and even columns";
  });
  require_data("timestep_sinusoids", "times", times);
  require_data("timestep_sinusoids", "out", out);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out (batch, channels) = [cos(1000 t w_i), sin(1000 t w_i)], w_i = 10000^(-i / (channels / 2)), for t in
/// [0, 1] (the sinusoids of Ho et al., "Denoising Diffusion Probabilistic Models", cosines first). Throws
/// RequestError unless there is a row for each time and the channels are even.
template <HostElement T>
void timestep_sinusoids(Host, VectorView<const float> times, MatrixView<T> out) {
  require_timestep_shapes(times, out);
  const index_t half = out.columns / 2;
  for (index_t row = 0; row < out.rows; ++row)
    for (index_t i = 0; i < half; ++i) {
      const double frequency = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      const double angle = 1000.0 * static_cast<double>(times[row]) * frequency;
      out.row(row)[i] = T(static_cast<float>(std::cos(angle)));
      out.row(row)[half + i] = T(static_cast<float>(std::sin(angle)));
    }
}

/// What add_table requires, on any execution.
template <class T>
void require_table_shapes(MatrixView<const T> in, MatrixView<const T> table, MatrixView<float> out) {
  require(out.rows == in.rows && out.columns == table.rows * table.columns &&
              (in.columns == out.columns || in.columns == table.columns),
          [&] {
            return "add_table: in is " + shape_text(in) + ", the table " + shape_text(table) + " and out " +
                   shape_text(out) + "; out is (batch, rows x width)";
          });
  require_data("add_table", "in", in);
  require_data("add_table", "the table", table);
  require_data("add_table", "out", out);
}

/// out (batch, rows x width) = in + table: table (rows, width) flattened, in (batch, rows x width), or
/// (batch, width) that every row of the table shares. In float32, so that a modulation is not rounded to T in
/// between.
template <HostElement T>
void add_table(Host, std::type_identity_t<MatrixView<const T>> in, MatrixView<const T> table,
               MatrixView<float> out) {
  require_table_shapes(in, table, out);
  const bool is_shared = in.columns == table.columns;
  for (index_t batch = 0; batch < in.rows; ++batch)
    for (index_t row = 0; row < table.rows; ++row) {
      const T* source = in.row(batch) + (is_shared ? 0 : row * table.columns);
      float* target = out.row(batch) + row * table.columns;
#pragma omp simd
      for (index_t i = 0; i < table.columns; ++i) target[i] = float(table.row(row)[i]) + float(source[i]);
    }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
