// The gated residual of one layer and the LayerNorm of the next, in one pass over the residual stream.
#pragma once
#include <concepts>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/norm/gated_residual.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What gated_residual_layer_norm requires, on any execution. Throws RequestError naming the view that
/// disagrees.
template <class Delta, class Stream, class T, class Out>
void require_gated_layer_norm_shapes(TokensView<Delta> delta, MatrixView<const float> gate,
                                     TokensView<Stream> stream, const LayerNormTerms<T>& terms, Out out) {
  constexpr const char* name = "gated_residual_layer_norm";
  require_gated_residual_inputs(name, delta, gate, stream);
  require_norm_result_fits(name, stream, out);
  require_layer_norm_terms(name, stream.batch, stream.width, terms);
}

}  // namespace stepvideo

namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET {

template <class Delta, class Stream, class T, class Out>
void gated_layer_norm_rows(TokensView<Delta> delta, MatrixView<const float> gate, TokensView<Stream> stream,
                           const LayerNormTerms<T>& terms, float epsilon, Out out) {
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < stream.batch; ++batch)
    for (index_t token = 0; token < stream.tokens; ++token) {
      Stream* row = stream.row(batch, token);
      add_gated(delta.row(batch, token), gate.data == nullptr ? nullptr : gate.row(batch), row, stream.width);
      store_row(out, batch, token, NormalisedRow(row, stream.width, batch, terms, epsilon));
    }
}

}  // namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// stream += gate * delta, then out = layer_norm(stream): what gated_residual and layer_norm do, with the
/// stream read and written once. delta, stream and out are (batch, tokens, width), any strides; the gate
/// (batch, width), without data a plain residual. In float32; the stream is rounded to its own element, and
/// the norm reads what was stored. Nothing may overlap. Throws RequestError where shapes disagree.
template <class Delta, HostElement Stream, HostElement T>
requires HostElement<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Host, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream,
                               std::type_identity_t<const LayerNormTerms<T>&> terms, float epsilon,
                               TokensView<T> out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  norm_detail::gated_layer_norm_rows(delta, gate, stream, terms, epsilon, out);
}

/// The same with the result quantised as quantize_rows does, from float32.
template <class Delta, HostElement Stream, HostElement T>
requires HostElement<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Host, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream, const LayerNormTerms<T>& terms, float epsilon,
                               ScaledTokensView out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  norm_detail::gated_layer_norm_rows(delta, gate, stream, terms, epsilon, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct GatedLayerNorm;
}  // namespace calls

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::GatedLayerNorm, D>) void gated_residual_layer_norm(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::GatedLayerNorm, D>, "gated_residual_layer_norm on a Device is in <stepvideo/kernels/norm/gated_layer_norm.cuh>, which nvcc compiles");
  // clang-format on
}

}  // namespace stepvideo
