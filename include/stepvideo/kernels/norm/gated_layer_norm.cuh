// The gated residual and the LayerNorm behind it on the GPU, behind the same call as on the CPU.
#pragma once
#include <algorithm>
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
    float gate[count];
  };

  template <int count>
  __device__ Loaded<count> load(index_t batch, index_t token, int column) const {
    Loaded<count> loaded{load_pack_once<count>(stream.row(batch, token) + column),
                         load_pack_once<count>(delta.row(batch, token) + column),
                         {}};
    if (gate.data != nullptr) {
      widen_pack(load_constant_pack<count>(gate.row(batch) + column), loaded.gate);
    } else {
#pragma unroll
      for (int e = 0; e < count; ++e) loaded.gate[e] = 1;
    }
    return loaded;
  }
  /// As the stream will hold them.
  template <int count>
  __device__ void evaluate(const Loaded<count>& loaded, float (&values)[count]) const {
#pragma unroll
    for (int e = 0; e < count; ++e)
      values[e] = float(loaded.stream.elements[e]) + loaded.gate[e] * float(loaded.delta.elements[e]);
    widen_pack(round_pack<Stream>(values), values);
  }
  template <int count>
  __device__ void keep(index_t batch, index_t token, int column, const float (&values)[count]) const {
    store_pack_once(stream.row(batch, token) + column, round_pack<Stream>(values));
  }
  __device__ float again(index_t batch, index_t token, int column) const {
    return float(stream.row(batch, token)[column]);
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
