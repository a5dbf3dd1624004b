// Dense layers of fp8: y = x W^T, both with a scale for each of their rows.
#pragma once
#include <string>

#include <stepvideo/core/scaled_rows.hpp>
#include <stepvideo/kernels/linear/linear.hpp>

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

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = epilogue(in weight^T) of fp8: in (rows, depth), weight (columns, depth), a scale for each row of
/// both, out (rows, columns); depth and columns are multiples of 16. Sums in float32, then the scales, then
/// the epilogue, rounded to out's element once. Otherwise as linear of other elements.
template <Epilogue Finish, HostElement Out>
void linear(Host, const ScaledRows& in, const ScaledRows& weight, const Finish& epilogue, MatrixView<Out> out,
            const LinearOptions& options = {}) {
  require_scaled_linear(in, weight, epilogue, out, options);
  linear_detail::multiply_tiles<fp8_e4m3>(
      in.values, weight.values, chain(ScaleRowsAndColumns{in.scales, weight.scales}, epilogue), out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
