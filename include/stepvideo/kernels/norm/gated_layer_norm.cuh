// The gated residual and the LayerNorm behind it on the GPU, behind the same call as on the CPU.
#pragma once
#include <type_traits>

#include <stepvideo/kernels/norm/gated_layer_norm.hpp>
#include <stepvideo/kernels/norm/layer_norm.cuh>

namespace stepvideo {

/// The rows of a residual stream, to which gate * delta is added before they are normalised.
template <class Delta, class Stream>
struct GatedRows {
  static constexpr int widest_element = sizeof(Delta) > sizeof(Stream) ? sizeof(Delta) : sizeof(Stream);
  TokensView<const Delta> delta;
  MatrixView<const float> gate;
  TokensView<Stream> stream;

  template <int count>
  struct Loaded {
    Pack<Stream, count> stream;
    Pack<Delta, count> delta;
  };

  template <int count>
  __device__ Loaded<count> load(index_t batch, index_t token, PackColumn column) const {
    return {load_pack_once<count>(column.of(stream.row(batch, token))),
            load_pack_once<count>(column.of(delta.row(batch, token)))};
  }
  /// As the stream will hold them.
  template <int count>
  __device__ void evaluate(const Loaded<count>& loaded, index_t batch, PackColumn column,
                           float (&values)[count]) const {
    float gates[count];
#pragma unroll
    for (int e = 0; e < count; ++e) gates[e] = 1;
    if (gate.data != nullptr) widen_pack(load_constant_pack<count>(column.of(gate.row(batch))), gates);
#pragma unroll
    for (int e = 0; e < count; ++e)
      values[e] = float(loaded.stream.elements[e]) + gates[e] * float(loaded.delta.elements[e]);
    widen_pack(round_pack<Stream>(values), values);
  }
  template <int count>
  __device__ void keep(index_t batch, index_t token, PackColumn column, const float (&values)[count]) const {
    store_pack_once(column.of(stream.row(batch, token)), round_pack<Stream>(values));
  }
  __device__ float again(index_t batch, index_t token, PackColumn column) const {
    return float(*column.of(stream.row(batch, token)));
  }

  template <int count>
  bool fits() const {
    return packs_fit<count>(stream.data, stream.width, stream.batch_stride, stream.token_stride) &&
           packs_fit<count>(delta.data, delta.batch_stride, delta.token_stride) &&
           packs_fit<count>(gate.data, gate.row_stride);
  }
};

/// See the host's gated_residual_layer_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Device device, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream,
                               std::type_identity_t<const LayerNormTerms<T>&> terms, float epsilon,
                               TokensView<T> out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  detail::launch_layer_norm(device, GatedRows<std::remove_const_t<Delta>, Stream>{delta, gate, stream}, terms,
                            epsilon, stream.batch, stream.tokens, stream.width, out);
}
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual_layer_norm(Device device, TokensView<Delta> delta, MatrixView<const float> gate,
                               TokensView<Stream> stream, const LayerNormTerms<T>& terms, float epsilon,
                               ScaledTokensView out) {
  require_gated_layer_norm_shapes(delta, gate, stream, terms, out);
  detail::launch_layer_norm(device, GatedRows<std::remove_const_t<Delta>, Stream>{delta, gate, stream}, terms,
                            epsilon, stream.batch, stream.tokens, stream.width, out);
}

}  // namespace stepvideo
