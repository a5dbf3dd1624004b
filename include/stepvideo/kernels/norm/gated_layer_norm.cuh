// The gated residual and the LayerNorm behind it on the GPU, behind the same call as on the CPU.
#pragma once
#include <type_traits>

#include <stepvideo/kernels/norm/gated_layer_norm.hpp>
#include <stepvideo/kernels/norm/gated_residual.cuh>
#include <stepvideo/kernels/norm/layer_norm.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<GatedLayerNorm, Device> = true;
}  // namespace calls

/// See the host's gated_residual_layer_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Device device, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream,
                               std::type_identity_t<const LayerNormTerms<T>&> terms, float epsilon,
                               TokensView<T> out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  norm_detail::launch_layer_norm("gated_residual_layer_norm", device,
                                 GatedRows<std::remove_const_t<Delta>, Stream>{delta, gate, stream}, terms,
                                 epsilon, stream.batch, stream.tokens, stream.width, out);
}
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Device device, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream, const LayerNormTerms<T>& terms, float epsilon,
                               ScaledTokensView out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  norm_detail::launch_layer_norm("gated_residual_layer_norm", device,
                                 GatedRows<std::remove_const_t<Delta>, Stream>{delta, gate, stream}, terms,
                                 epsilon, stream.batch, stream.tokens, stream.width, out);
}

}  // namespace stepvideo
