// What a dense layer of fp8 requires, on any execution. The layer itself is in scaled_linear.hpp for the host
// and in scaled_linear.cuh for GPUs.
#pragma once
#include <string>

#include <stepvideo/core/scaled_rows.hpp>
#include <stepvideo/kernels/linear/linear_call.hpp>

namespace stepvideo {

/// y * of_rows[row] * of_columns[column]: what makes values of the sums of an fp8 product.
struct ScaleRowsAndColumns {
  VectorView<const float> of_rows, of_columns;

  constexpr auto row(index_t row) const {
    return [of_row = of_rows[row], factors = of_columns.data](float y, index_t column) {
      return y * of_row * factors[column];
    };
  }
  void require_fits(index_t rows, index_t columns) const {
    require(of_rows.size == rows && of_columns.size == columns, [&] {
      return "there are scales for " + std::to_string(of_rows.size) + " rows and " +
             std::to_string(of_columns.size) + " columns and the result is " + extents_text({rows, columns}) +
             "; each needs one";
    });
  }
};

/// What linear requires of fp8, on any execution. Throws RequestError naming what disagrees.
template <class Finish, class Out>
void require_scaled_linear(const ScaledRows& in, const ScaledRows& weight, const Finish& epilogue,
                           MatrixView<Out> out, const LinearOptions& options) {
  require_linear_shapes<fp8_e4m3>(in.values, weight.values, epilogue, out, options);
  require(in.values.columns % 16 == 0 && out.columns % 16 == 0, [&] {
    return "linear: in is " + shape_text(in.values) + " and out " + shape_text(out) +
           " of fp8; the columns of both must be multiples of 16";
  });
  require_row_scales("linear", "in", in);
  require_row_scales("linear", "weight", weight);
}

}  // namespace stepvideo
