// The gated residual of one layer and the LayerNorm of the next, in one pass over the residual stream.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>

namespace stepvideo {

/// What gated_residual_layer_norm requires, on any execution. Throws RequestError naming the view that
/// disagrees.
template <class Delta, class Stream, class T, class Out>
void require_gated_layer_norm_shapes(TokensView<Delta> delta, MatrixView<const float> gate,
                                     TokensView<Stream> stream, const LayerNormTerms<T>& terms, Out out) {
  constexpr const char* name = "gated_residual_layer_norm";
  require(delta.batch == stream.batch && delta.tokens == stream.tokens && delta.width == stream.width, [&] {
    return std::string(name) + ": delta is " + shape_text(delta) + " and the stream " + shape_text(stream) +
           "; they must have the same shape";
  });
  require(gate.data == nullptr || (gate.rows == stream.batch && gate.columns == stream.width), [&] {
    return std::string(name) + ": the gate is " + shape_text(gate) + "; it must be " +
           extents_text({stream.batch, stream.width});
  });
  require_norm_result_fits(name, stream, out);
  require_layer_norm_terms(name, stream.batch, stream.width, terms);
}

namespace detail {

template <class Delta, class Stream, class T, class Out>
void gated_layer_norm_rows(TokensView<Delta> delta, MatrixView<const float> gate, TokensView<Stream> stream,
                           const LayerNormTerms<T>& terms, float epsilon, Out out) {
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < stream.batch; ++batch)
    for (index_t token = 0; token < stream.tokens; ++token) {
      const Delta* added = delta.row(batch, token);
      const float* gates = gate.data == nullptr ? nullptr : gate.row(batch);
      Stream* row = stream.row(batch, token);
#pragma omp simd
      for (index_t i = 0; i < stream.width; ++i)
        round_into(row[i], float(row[i]) + (gates == nullptr ? 1.0f : gates[i]) * float(added[i]));
      store_row(out, batch, token, NormalisedRow(row, stream.width, batch, terms, epsilon));
    }
}

}  // namespace detail

/// stream += gate * delta, then out = layer_norm(stream): what a GatedResidual and a layer_norm do, with the
/// stream read and written once. delta, stream and out are (batch, tokens, width), any strides; the gate
/// (batch, width), without data a plain residual. In float32; the stream is rounded to its own element, and
/// the norm reads what was stored. Nothing may overlap. Throws RequestError where shapes disagree.
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Host, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream,
                               std::type_identity_t<const LayerNormTerms<T>&> terms, float epsilon,
                               TokensView<T> out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  detail::gated_layer_norm_rows(delta, gate, stream, terms, epsilon, out);
}

/// The same with the result quantised as quantize_rows does, from float32.
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Host, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream, const LayerNormTerms<T>& terms, float epsilon,
                               ScaledTokensView out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  detail::gated_layer_norm_rows(delta, gate, stream, terms, epsilon, out);
}

}  // namespace stepvideo
