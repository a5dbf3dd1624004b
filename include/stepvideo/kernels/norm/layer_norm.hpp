// LayerNorm over the channels of each token, with an optional affine and an optional modulation.
#pragma once
#include <cmath>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// What follows the normalisation, in this order; a view without data is left out.
template <class T>
struct LayerNormTerms {
  VectorView<const T> weight{}, bias{};      ///< (width): n * weight + bias
  MatrixView<const float> scale{}, shift{};  ///< (batch, width): y * (1 + scale) + shift
};

/// What layer_norm requires, on any execution. Throws RequestError naming the view that disagrees.
template <class In, class T>
void require_layer_norm_shapes(TokensView<In> in, const LayerNormTerms<T>& terms, TokensView<T> out) {
  require(in.batch == out.batch && in.tokens == out.tokens && in.width == out.width, [&] {
    return "layer_norm: in is " + shape_text(in) + " and out " + shape_text(out) +
           "; they must have the same shape";
  });
  require((terms.weight.data == nullptr) == (terms.bias.data == nullptr) &&
              (terms.scale.data == nullptr) == (terms.shift.data == nullptr),
          "layer_norm: weight and bias come together, and so do scale and shift");
  require(terms.weight.data == nullptr || (terms.weight.size == in.width && terms.bias.size == in.width),
          [&] {
            return "layer_norm: weight has " + std::to_string(terms.weight.size) + " elements and bias " +
                   std::to_string(terms.bias.size) + "; the width is " + std::to_string(in.width);
          });
  const auto fits = [&](const auto& view) { return view.rows == in.batch && view.columns == in.width; };
  require(terms.scale.data == nullptr || (fits(terms.scale) && fits(terms.shift)), [&] {
    return "layer_norm: scale is " + shape_text(terms.scale) + " and shift " + shape_text(terms.shift) +
           "; both must be " + extents_text({in.batch, in.width});
  });
}

/// n = (in - mean) / sqrt(variance + epsilon) over the width, then the terms: float32 inside, rounded to
/// out's element once. (batch, tokens, width), any strides; in may be out itself, but must not overlap it
/// otherwise. Throws RequestError where shapes disagree.
template <class In, Element T>
requires Element<std::remove_const_t<In>>
void layer_norm(Host, TokensView<In> in, std::type_identity_t<const LayerNormTerms<T>&> terms, float epsilon,
                TokensView<T> out) {
  require_layer_norm_shapes(in, terms, out);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t token = 0; token < in.tokens; ++token) {
      const In* source = in.row(batch, token);
      T* target = out.row(batch, token);
      float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
      for (index_t i = 0; i < in.width; ++i) sum += float(source[i]);
      const float mean = sum / static_cast<float>(in.width);
      // Deviations are squared in a second pass: a mean far from zero would cancel in one.
#pragma omp simd reduction(+ : squares)
      for (index_t i = 0; i < in.width; ++i) squares += (float(source[i]) - mean) * (float(source[i]) - mean);
      const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(in.width) + epsilon);

      const bool is_affine = terms.weight.data != nullptr, is_modulated = terms.scale.data != nullptr;
      const float* scale = is_modulated ? terms.scale.row(batch) : nullptr;
      const float* shift = is_modulated ? terms.shift.row(batch) : nullptr;
#pragma omp simd
      for (index_t i = 0; i < in.width; ++i) {
        float y = (float(source[i]) - mean) * inverse;
        if (is_affine) y = y * float(terms.weight[i]) + float(terms.bias[i]);
        if (is_modulated) y = y * (1.0f + scale[i]) + shift[i];
        round_into(target[i], y);
      }
    }
}

}  // namespace stepvideo
