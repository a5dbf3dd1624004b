// fp8 matrices whose rows have a scale each, as the operands of a product.
#pragma once
#include <string>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// Value (row, column) = values.row(row)[column] * scales[row]. quantize_rows and the fused norms write them.
struct ScaledRows {
  MatrixView<const fp8_e4m3> values;
  VectorView<const float> scales;  ///< (rows)

  ScaledRows(MatrixView<const fp8_e4m3> rows, VectorView<const float> of_rows)
      : values(rows), scales(of_rows) {}
  /// All tokens of all batch elements. Throws RequestError unless they lie one behind the other.
  explicit ScaledRows(const ScaledTokensView& tokens) : values(tokens.values.rows()), scales(tokens.scales) {
    const index_t stride = tokens.values.tokens * tokens.values.token_stride;
    require(tokens.values.batch <= 1 || tokens.values.batch_stride == stride, [&] {
      return "ScaledRows: the tokens " + shape_text(tokens.values) + " have a batch stride of " +
             std::to_string(tokens.values.batch_stride) + " and do not lie one behind the other; " +
             std::to_string(stride) + " works";
    });
  }
};

/// Throws RequestError unless there is a scale for each row.
inline void require_row_scales(const char* kernel, const char* name, const ScaledRows& matrix) {
  require(matrix.scales.size == matrix.values.rows, [&] {
    return std::string(kernel) + ": " + name + " is " + shape_text(matrix.values) + " and has " +
           std::to_string(matrix.scales.size) + " scales; each row needs one";
  });
  require(matrix.scales.data != nullptr || matrix.values.rows == 0, [&] {
    return std::string(kernel) + ": the scales of " + name + " have no memory; their data must not be null";
  });
}

}  // namespace stepvideo
