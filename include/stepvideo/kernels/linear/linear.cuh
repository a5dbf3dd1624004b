// Dense layers on the GPU, behind the same call as on the CPU. Links cuBLASLt (the CMake target
// stepvideo::matmul).
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>

#include <stepvideo/kernels/linear/apply_epilogue.cuh>
#include <stepvideo/kernels/linear/linear_call.hpp>
#include <stepvideo/kernels/linear/matmul_epilogue.cuh>
#include <stepvideo/kernels/linear/matmul_plans.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Linear, Device> = true;
}  // namespace calls

namespace linear_detail {

/// The library wants rows that do not overlap.
template <class T>
void require_rows_apart(const char* name, MatrixView<T> view) {
  require(view.rows <= 1 || view.row_stride >= view.columns, [&] {
    return std::string("linear: the rows of ") + name + " " + shape_text(view) + " have a stride of " +
           std::to_string(view.row_stride) + " and overlap; on the GPU it must be at least the columns";
  });
}

/// A single row may have any stride; the library asks for one all the same.
template <class T>
index_t library_stride(MatrixView<T> view) {
  return view.rows > 1 ? view.row_stride : std::max(view.row_stride, view.columns);
}

template <class T, class Out>
MatmulCall matmul_call(MatrixView<const T> in, MatrixView<const T> weight,
                       const MatmulEpilogueTerms<Out>& terms, MatrixView<Out> out, index_t planned_rows) {
  return {
      .shape = {planned_rows, out.columns, in.columns, matmul_element<T>, matmul_element<Out>, terms.kind},
      .rows = out.rows,
      .in = in.data,
      .weight = weight.data,
      .bias = terms.bias.data,
      .residual = terms.residual.data,
      .out = out.data,
      .in_stride = library_stride(in),
      .weight_stride = library_stride(weight),
      .residual_stride = library_stride(terms.residual),
      .out_stride = library_stride(out)};
}

/// What the library wants of every call. Throws RequestError.
template <class T, class Out>
void require_served(Device device, MatrixView<const T> in, MatrixView<const T> weight, MatrixView<Out> out) {
  require_rows_apart("in", in);
  require_rows_apart("weight", weight);
  require_rows_apart("out", out);
  require(device.matmuls != nullptr, [] {
    return "linear: the Device has no plans for matrix products; MatmulPlans plans(device) and "
           "Device{device.stream, &plans} give it some";
  });
  if (out.rows > 0 && out.columns > 0) device.matmuls->require_serves(device);
}

/// Whether the epilogue's operands lie as the library wants them: a bias aligned to its accesses, a residual
/// whose rows do not overlap.
template <class Out>
bool terms_fit_library(const MatmulEpilogueTerms<Out>& terms) {
  const auto& residual = terms.residual;
  return row_alignment(terms.bias.data, 0) == widest_matmul_access &&
         (residual.rows <= 1 || residual.row_stride >= residual.columns);
}

/// Products of as many rows as there is room for, then the epilogue over them, and so on.
template <class T, class Finish, class Out>
void multiply_then_apply(Device device, MatrixView<const T> in, MatrixView<const T> weight,
                         const Finish& epilogue, MatrixView<Out> out, index_t planned_rows) {
  const VectorView<float> room = device.matmuls->products();
  const index_t rows_at_once = room.size / weight.rows;
  require(rows_at_once > 0, [&] {
    return "linear: a row of " + std::to_string(weight.rows) + " products takes " +
           std::to_string(weight.rows * index_t{sizeof(float)}) +
           " bytes and the Device's plans have room for " +
           std::to_string(room.size * index_t{sizeof(float)}) + "; give MatmulMemory more products_bytes";
  });
  const index_t parts = (out.rows + rows_at_once - 1) / rows_at_once;
  const index_t rows_a_part = (out.rows + parts - 1) / parts;
  for (index_t first = 0; first < out.rows; first += rows_a_part) {
    const index_t rows = std::min(rows_a_part, out.rows - first);
    const auto products = MatrixView<float>::dense(room.data, rows, weight.rows);
    const MatrixView<const T> part{in.row(first), rows, in.columns, in.row_stride};
    const bool is_served = device.matmuls->multiply(
        matmul_call<T, float>(part, weight, MatmulEpilogueTerms<float>{}, products, planned_rows));
    if (!is_served)
      throw Error("linear: cuBLASLt has no algorithm for in " + shape_text(in) + " and weight " +
                  shape_text(weight) + " of " + std::string(element_name<T>) + " on this GPU");
    apply_epilogue(device, products, epilogue, first,
                   MatrixView<Out>{out.row(first), rows, out.columns, out.row_stride});
  }
}

}  // namespace linear_detail

/// See the host's linear: same shapes, same errors, products summed in float32 and rounded once, after the
/// epilogue. Runs on device.stream, which device.matmuls must have been made for; with an epilogue that is
/// EpilogueRunsInMatmul as one product. Another one, a bias off the grid of 16 bytes and what the library has
/// no algorithm for take a pass over memory more: float32 products in the plans' room, then the epilogue over
/// them. The bits of a row depend on the algorithm (MatmulPlans says on what that depends) and not on how
/// many rows the call has. Throws RequestError as the host's does, for a Device without plans or with another
/// stream's, and where rows of `in`, `weight` or `out` overlap; Error where the library fails.
template <class In, class Finish, MatmulOperand Out, MatmulOperand T = std::remove_const_t<In>>
requires(Epilogue<Finish> || PairEpilogue<Finish>) && MatmulResultOf<Out, T> void linear(
                                                          Device device, MatrixView<In> in,
                                                          std::type_identity_t<MatrixView<const T>> weight,
                                                          const Finish& epilogue, MatrixView<Out> out,
                                                          const LinearOptions& options = {}) {
  require_linear_shapes<T>(in, weight, epilogue, out, options);
  linear_detail::require_served<T>(device, in, weight, out);
  if (out.rows == 0 || out.columns == 0) return;
  const index_t planned_rows = options.planned_rows > 0 ? options.planned_rows : out.rows;
  if constexpr (EpilogueRunsInMatmul<Finish, Out>) {
    const auto terms = linear_detail::matmul_terms<Out>(epilogue);
    if (linear_detail::terms_fit_library(terms) &&
        device.matmuls->multiply(linear_detail::matmul_call<T, Out>(in, weight, terms, out, planned_rows)))
      return;
  }
  linear_detail::multiply_then_apply<T>(device, in, weight, epilogue, out, planned_rows);
}

}  // namespace stepvideo
