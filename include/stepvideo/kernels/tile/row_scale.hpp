// Rows of fp8 that carry a scale each: what an fp8 matrix product reads.
#pragma once
#include <cmath>
#include <limits>
#include <string>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// value (b, t, i) = values (b, t, i) * scales[b * tokens + t].
struct ScaledTokensView {
  TokensView<fp8_e4m3> values;
  VectorView<float> scales;  ///< (batch x tokens)

  constexpr float& scale(index_t batch, index_t token) const { return scales[batch * values.tokens + token]; }
};

/// The larger magnitude; NaN is never larger.
struct LargerMagnitude {
  constexpr float operator()(float largest, float value) const {
    const float magnitude = value < 0 ? -value : value;
    return magnitude > largest ? magnitude : largest;
  }
};

/// How a row is quantised: its largest magnitude becomes fp8's largest, 448. The scale is never below the
/// smallest normal float, so that a row of zeros has a finite reciprocal and stays zeros. NaN stays NaN and
/// leaves the rest of its row alone; an infinity makes the scale infinite, so every element of its row is NaN
/// once scaled back.
struct RowScale {
  static constexpr float largest_element = 448.0f;
  float scale, inverse;

  static constexpr RowScale of(float largest) {
    const float fitted = largest / largest_element, least = std::numeric_limits<float>::min();
    const float scale = fitted < least ? least : fitted;
    return {scale, 1.0f / scale};
  }
  constexpr float operator()(float value) const { return value * inverse; }
};

/// Throws RequestError unless `out` has the shape of `in` and a scale for each of its rows.
template <class In>
void require_scaled_tokens_fit(const char* kernel, TokensView<In> in, ScaledTokensView out) {
  const auto& values = out.values;
  require(in.batch == values.batch && in.tokens == values.tokens && in.width == values.width, [&] {
    return std::string(kernel) + ": in is " + shape_text(in) + " and out " + shape_text(values) +
           "; they must have the same shape";
  });
  require(out.scales.size == in.batch * in.tokens, [&] {
    return std::string(kernel) + ": there are " + std::to_string(out.scales.size) + " scales for " +
           std::to_string(in.batch * in.tokens) + " rows; each row needs one";
  });
}

}  // namespace stepvideo
