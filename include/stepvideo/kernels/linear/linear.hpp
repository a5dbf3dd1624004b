// Dense layers: y = x W^T, with an epilogue applied to each tile while it is in the cache. Needs OpenBLAS.
#pragma once
#include <algorithm>
#include <concepts>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/linear/linear_call.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/partition.hpp>
#include <stepvideo/kernels/tile/sgemm.hpp>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Linear, Host> = true;
}  // namespace calls

/// Tiles of the host's linear: a thread computes rows x columns results over the whole depth. Two cores of a
/// Xeon with AVX-512, GFLOP/s of float32 with tiles of 256 x 128 | 256 x 256 | 128 x 256 | one sgemm on both
/// cores:
///     216 x 768 x 192      282 | 210 | 258 | 259
///     216 x 256 x 1024     298 | 169 | 280 | 249
///     4096 x 1024 x 1024   278 | 305 | 239 | 358
/// Tall tiles pack each weight once; few rows need narrow ones, so that every core gets some.
struct HostLinearPolicy {
  static constexpr index_t rows = 240, columns = 256, depth = 256;
  static constexpr index_t few_rows = 1024, columns_for_few_rows = 128;
  // sgemm's own register block is 16 columns wide, and it takes 12 rows at a time, with AVX-512 24. A row's
  // last bits depend on its place among them: it keeps its bits in a call for some of the rows that begins at
  // a multiple of `row_multiple`, and ends at one or with the last row.
  static constexpr index_t row_multiple = 24, column_multiple = 16;

  static constexpr Partition row_tiles(index_t size) { return {size, rows, row_multiple}; }
  /// `products` are computed for each column.
  static constexpr Partition column_tiles(index_t size, index_t row_count, index_t products) {
    return {size, (row_count < few_rows ? columns_for_few_rows : columns) / products, column_multiple};
  }
};

}  // namespace stepvideo

namespace stepvideo::linear_detail::inline STEPVIDEO_INSTRUCTION_SET {

template <class T>
void to_float(MatrixView<const T> in, float* out) {
  for (index_t row = 0; row < in.rows; ++row) {
    const T* source = in.row(row);
    float* target = out + row * in.columns;
#pragma omp simd
    for (index_t i = 0; i < in.columns; ++i) target[i] = float(source[i]);
  }
}

template <class T>
MatrixView<const T> block(MatrixView<const T> matrix, index_t row, index_t rows, index_t column,
                          index_t columns) {
  return {matrix.row(row) + column, rows, columns, matrix.row_stride};
}

/// products = in weight^T in float32; narrow elements are widened a slice of the depth at a time.
template <class T>
void multiply_tile(MatrixView<const T> in, MatrixView<const T> weight, MatrixView<float> products) {
  if constexpr (std::same_as<T, float>) {
    sgemm_tile(in, weight, 0.0f, products);
  } else {
    using Policy = HostLinearPolicy;
    alignas(64) float wide_in[Policy::rows * Policy::depth];
    alignas(64) float wide_weight[Policy::columns * Policy::depth];
    for (index_t first = 0; first < in.columns; first += Policy::depth) {
      const index_t depth = std::min(Policy::depth, in.columns - first);
      to_float(block(in, 0, in.rows, first, depth), wide_in);
      to_float(block(weight, 0, weight.rows, first, depth), wide_weight);
      sgemm_tile(MatrixView<const float>::dense(wide_in, in.rows, depth),
                 MatrixView<const float>::dense(wide_weight, weight.rows, depth), first == 0 ? 0.0f : 1.0f,
                 products);
    }
  }
}

/// One tile of the result: its products, then the epilogue row by row.
template <class T, class Finish, class Out>
void linear_tile(MatrixView<const T> in, MatrixView<const T> weight, const Finish& epilogue,
                 index_t first_row, index_t first_column, index_t columns, MatrixView<Out> out) {
  alignas(64) float storage[HostLinearPolicy::rows * HostLinearPolicy::columns];
  const index_t products_per_row = PairEpilogue<Finish> ? 2 * columns : columns;
  const auto products = MatrixView<float>::dense(storage, in.rows, products_per_row);
  multiply_tile(in, block(weight, first_column, columns, 0, in.columns),
                MatrixView<float>{storage, in.rows, columns, products_per_row});
  if constexpr (PairEpilogue<Finish>) {
    multiply_tile(in, block(weight, out.columns + first_column, columns, 0, in.columns),
                  MatrixView<float>{storage + columns, in.rows, columns, products_per_row});
  }
  for (index_t row = 0; row < in.rows; ++row) {
    const auto at_row = epilogue.row(first_row + row);
    const float* y = products.row(row);
    Out* target = out.row(first_row + row) + first_column;
#pragma omp simd
    for (index_t i = 0; i < columns; ++i) {
      if constexpr (PairEpilogue<Finish>) {
        round_into(target[i], at_row(y[i], y[columns + i], first_column + i));
      } else {
        round_into(target[i], at_row(y[i], first_column + i));
      }
    }
  }
}

/// The whole result, tile by tile.
template <class T, class Finish, class Out>
void multiply_tiles(MatrixView<const T> in, MatrixView<const T> weight, const Finish& epilogue,
                    MatrixView<Out> out) {
  if (out.rows == 0 || out.columns == 0) return;
  keep_blas_single_threaded();
  using Policy = HostLinearPolicy;
  const Partition rows = Policy::row_tiles(out.rows);
  const Partition columns = Policy::column_tiles(out.columns, out.rows, PairEpilogue<Finish> ? 2 : 1);
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (index_t c = 0; c < columns.count(); ++c)
    for (index_t r = 0; r < rows.count(); ++r)
      linear_tile<T>(block<T>(in, rows.first(r), rows.extent(r), 0, in.columns), weight, epilogue,
                     rows.first(r), columns.first(c), columns.extent(c), out);
}

}  // namespace stepvideo::linear_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = epilogue(in weight^T): in (rows, depth), weight (columns, depth) as checkpoints store it, out (rows,
/// columns). Products are summed in float32 and rounded to out's element once, after the epilogue. `out` must
/// not overlap `in` or `weight`; an epilogue's residual may be `out`. With a PairEpilogue the weight has two
/// rows for each column of out: [first half | second half]. Sets OpenBLAS to one
/// thread for the whole process, since tiles are multiplied from OpenMP threads. Throws RequestError where
/// shapes disagree.
template <class In, class Finish, HostElement Out, HostElement T = std::remove_const_t<In>>
requires Epilogue<Finish> || PairEpilogue<Finish>
void linear(Host, MatrixView<In> in, std::type_identity_t<MatrixView<const T>> weight, const Finish& epilogue,
            MatrixView<Out> out, const LinearOptions& options = {}) {
  require_linear_shapes<T>(in, weight, epilogue, out, options);
  linear_detail::multiply_tiles<T>(MatrixView<const T>(in), weight, epilogue, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
