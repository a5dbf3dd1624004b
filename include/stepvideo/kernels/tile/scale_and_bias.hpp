// What makes values of the sums of an fp8 product.
#pragma once
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// y * scales[column] + bias[column]: an epilogue (tile/epilogue.hpp), the first of an fp8 product's.
template <class T>
struct ScaleAndBias {
  VectorView<const float> scales;
  VectorView<const T> bias;

  constexpr auto row(index_t) const {
    return [factors = scales.data, values = bias.data](float y, index_t column) {
      return y * factors[column] + float(values[column]);
    };
  }
  void require_fits(index_t, index_t columns) const {
    require(scales.size == columns && bias.size == columns, [&] {
      return "there are " + std::to_string(scales.size) + " scales and the bias has " +
             std::to_string(bias.size) + " elements, and the result " + std::to_string(columns) +
             " columns; all three must be equal";
    });
    require((scales.data != nullptr && bias.data != nullptr) || columns == 0,
            "the scales or the bias have no memory; their data must not be null");
  }
};

}  // namespace stepvideo
