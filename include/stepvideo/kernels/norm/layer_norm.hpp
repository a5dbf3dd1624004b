// LayerNorm over the channels of each token, with an optional affine and an optional modulation.
#pragma once
#include <cmath>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What follows the normalisation, in this order; a view without data is left out.
template <class T>
struct LayerNormTerms {
  VectorView<const T> weight{}, bias{};      ///< (width): n * weight + bias
  MatrixView<const float> scale{}, shift{};  ///< (batch, width): y * (1 + scale) + shift
};

/// What the terms require of (batch, width), on any execution. Throws RequestError naming the view that
/// disagrees.
template <class T>
void require_layer_norm_terms(const char* kernel, index_t batch, index_t width,
                              const LayerNormTerms<T>& terms) {
  require((terms.weight.data == nullptr) == (terms.bias.data == nullptr) &&
              (terms.scale.data == nullptr) == (terms.shift.data == nullptr),
          [&] { return std::string(kernel) + ": weight and bias come together, and so do scale and shift"; });
  require(terms.weight.data == nullptr || (terms.weight.size == width && terms.bias.size == width), [&] {
    return std::string(kernel) + ": weight has " + std::to_string(terms.weight.size) + " elements and bias " +
           std::to_string(terms.bias.size) + "; the width is " + std::to_string(width);
  });
  const auto fits = [&](const auto& view) { return view.rows == batch && view.columns == width; };
  require(terms.scale.data == nullptr || (fits(terms.scale) && fits(terms.shift)), [&] {
    return std::string(kernel) + ": scale is " + shape_text(terms.scale) + " and shift " +
           shape_text(terms.shift) + "; both must be " + extents_text({batch, width});
  });
}

/// The result of a norm has the shape of its input: rows of elements, or of fp8 with their scales.
template <class In, class Out>
void require_norm_result_fits(const char* kernel, TokensView<In> in, TokensView<Out> out) {
  require(in.batch == out.batch && in.tokens == out.tokens && in.width == out.width, [&] {
    return std::string(kernel) + ": in is " + shape_text(in) + " and out " + shape_text(out) +
           "; they must have the same shape";
  });
  require_data(kernel, "in", in);
  require_data(kernel, "out", out);
}
template <class In>
void require_norm_result_fits(const char* kernel, TokensView<In> in, ScaledTokensView out) {
  require_scaled_tokens_fit(kernel, in, out);
}

}  // namespace stepvideo

namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// A row's normalised value at a column, with its terms.
template <class In, class T>
class NormalisedRow {
 public:
  NormalisedRow(const In* source, index_t width, index_t batch, const LayerNormTerms<T>& terms, float epsilon)
      : source_(source),
        weight_(terms.weight.data),
        bias_(terms.bias.data),
        scale_(terms.scale.data == nullptr ? nullptr : terms.scale.row(batch)),
        shift_(terms.shift.data == nullptr ? nullptr : terms.shift.row(batch)) {
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (index_t i = 0; i < width; ++i) sum += float(source[i]);
    const float mean = sum / static_cast<float>(width);
    // Deviations are squared in a second pass: a mean far from zero would cancel in one.
#pragma omp simd reduction(+ : squares)
    for (index_t i = 0; i < width; ++i) squares += (float(source[i]) - mean) * (float(source[i]) - mean);
    mean_ = mean, inverse_ = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
  }

  float operator()(index_t i) const {
    float y = (float(source_[i]) - mean_) * inverse_;
    if (weight_ != nullptr) y = y * float(weight_[i]) + float(bias_[i]);
    if (scale_ != nullptr) y = y * (1.0f + scale_[i]) + shift_[i];
    return y;
  }

 private:
  const In* source_;
  const T *weight_, *bias_;
  const float *scale_, *shift_;
  float mean_, inverse_;
};

template <class Out, class Row>
void store_row(TokensView<Out> out, index_t batch, index_t token, const Row& row) {
  Out* target = out.row(batch, token);
#pragma omp simd
  for (index_t i = 0; i < out.width; ++i) round_into(target[i], row(i));
}
/// The row is evaluated twice, so that nothing but the result is stored.
template <class Row>
void store_row(ScaledTokensView out, index_t batch, index_t token, const Row& row) {
  fp8_e4m3* target = out.values.row(batch, token);
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (index_t i = 0; i < out.values.width; ++i) largest = LargerMagnitude{}(largest, row(i));
  const Fp8Scale scale = Fp8Scale::of(largest);
  out.scale(batch, token) = scale.scale;
#pragma omp simd
  for (index_t i = 0; i < out.values.width; ++i) round_into(target[i], scale(row(i)));
}

template <class In, class T, class Out>
void layer_norm_rows(TokensView<In> in, const LayerNormTerms<T>& terms, float epsilon, Out out) {
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t token = 0; token < in.tokens; ++token)
      store_row(out, batch, token, NormalisedRow(in.row(batch, token), in.width, batch, terms, epsilon));
}

}  // namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// n = (in - mean) / sqrt(variance + epsilon) over the width, then the terms: float32 inside, rounded to
/// out's element once. (batch, tokens, width), any strides; in may be out itself, but must not overlap it
/// otherwise. Throws RequestError where shapes disagree.
template <class In, HostElement T>
requires HostElement<std::remove_const_t<In>>
void layer_norm(Host, TokensView<In> in, std::type_identity_t<const LayerNormTerms<T>&> terms, float epsilon,
                TokensView<T> out) {
  require_norm_result_fits("layer_norm", in, out);
  require_layer_norm_terms("layer_norm", in.batch, in.width, terms);
  norm_detail::layer_norm_rows(in, terms, epsilon, out);
}

/// The same with the result quantised as quantize_rows does, from float32: an fp8 matrix product's input
/// without a pass of its own.
template <class In, HostElement T>
requires HostElement<std::remove_const_t<In>>
void layer_norm(Host, TokensView<In> in, const LayerNormTerms<T>& terms, float epsilon,
                ScaledTokensView out) {
  require_norm_result_fits("layer_norm", in, out);
  require_layer_norm_terms("layer_norm", in.batch, in.width, terms);
  norm_detail::layer_norm_rows(in, terms, epsilon, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct LayerNorm;

template <class Terms>
struct TermsElement {
  using type = float;
};
template <class T>
struct TermsElement<LayerNormTerms<T>> {
  using type = T;
};

template <class E, class In, class Terms, class Out>
inline constexpr Mistake layer_norm_mistake = first_of(
    {execution_mistake<E, LayerNorm>,
     std::same_as<Out, ScaledTokensView> ? Mistake::none : result_mistake<E, TokensView, Out>,
     any_operand_mistake<E, TokensView, In>,
     std::same_as<Terms, LayerNormTerms<typename TermsElement<Terms>::type>> ? Mistake::none
                                                                             : Mistake::no_terms,
     std::same_as<Out, ScaledTokensView> || std::same_as<typename TermsElement<Terms>::type, value_of<Out>>
         ? Mistake::none
         : Mistake::operand_of_another_element});
}  // namespace calls

/// Every call of layer_norm that cannot be, to say why.
template <class E, class In, class Terms, class Out>
requires calls::Mistaken<calls::layer_norm_mistake<E, In, Terms, Out>, E>
void layer_norm(const E&, const In&, const Terms&, float, const Out&) {
  constexpr auto mistake = calls::layer_norm_mistake<E, In, Terms, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "layer_norm on a Device is in <stepvideo/kernels/norm/layer_norm.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, In, Terms, Out>();
}
template <calls::First E, class... Others>
requires(sizeof...(Others) < 4) void layer_norm(const E&, const Others&...) {
  // clang-format off
  static_assert(sizeof...(Others) >= 4, "layer_norm takes an execution, in, LayerNormTerms, epsilon and out; LayerNormTerms<T>{} are none");
  // clang-format on
}

}  // namespace stepvideo
