// The gated residual: what a layer gives back to the stream that it read.
#pragma once
#include <concepts>
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
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What a gated residual requires of its inputs, on any execution. Throws RequestError naming the view that
/// disagrees.
template <class Delta, class Stream>
void require_gated_residual_inputs(const char* kernel, TokensView<Delta> delta, MatrixView<const float> gate,
                                   TokensView<Stream> stream) {
  require(delta.batch == stream.batch && delta.tokens == stream.tokens && delta.width == stream.width, [&] {
    return std::string(kernel) + ": delta is " + shape_text(delta) + " and the stream " + shape_text(stream) +
           "; they must have the same shape";
  });
  require_data(kernel, "delta", delta);
  require_data(kernel, "the stream", stream);
  require(gate.data == nullptr || (gate.rows == stream.batch && gate.columns == stream.width), [&] {
    return std::string(kernel) + ": the gate is " + shape_text(gate) + "; it must be " +
           extents_text({stream.batch, stream.width});
  });
}

/// What gated_residual requires, on any execution.
template <class Delta, class Stream, class T>
void require_gated_residual_shapes(TokensView<Delta> delta, MatrixView<const float> gate,
                                   TokensView<Stream> stream, TokensView<T> out) {
  require_gated_residual_inputs("gated_residual", delta, gate, stream);
  require(out.data == nullptr ||
              (out.batch == stream.batch && out.tokens == stream.tokens && out.width == stream.width),
          [&] {
            return "gated_residual: the stream is " + shape_text(stream) + " and out " + shape_text(out) +
                   "; they must have the same shape";
          });
}
template <class Delta, class Stream>
void require_gated_residual_shapes(TokensView<Delta> delta, MatrixView<const float> gate,
                                   TokensView<Stream> stream, ScaledTokensView out) {
  require_gated_residual_shapes(delta, gate, stream, out.values);
  require_scaled_tokens_fit("gated_residual", stream, out);
}

}  // namespace stepvideo

namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// A row of the stream, with gate * delta added; without gates, delta.
template <class Delta, class Stream>
void add_gated(const Delta* delta, const float* gates, Stream* row, index_t width) {
#pragma omp simd
  for (index_t i = 0; i < width; ++i)
    round_into(row[i], float(row[i]) + (gates == nullptr ? 1.0f : gates[i]) * float(delta[i]));
}

}  // namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// stream += gate * delta, out = T(stream): a residual whose next reader takes rows of T, a matrix product
/// say, and not a norm's. delta, stream and out are (batch, tokens, width), any strides; the gate is (batch,
/// width), without data a plain residual; without data, out is left out. In float32; the stream is rounded to
/// its own element, and out from what was stored. Nothing may overlap, but out may be a float stream itself.
/// Throws RequestError where shapes disagree.
template <class Delta, HostElement Stream, HostElement T>
requires HostElement<std::remove_const_t<Delta>>
void gated_residual(Host, TokensView<Delta> delta, MatrixView<const float> gate, TokensView<Stream> stream,
                    TokensView<T> out) {
  require_gated_residual_shapes(delta, gate, stream, out);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < stream.batch; ++batch)
    for (index_t token = 0; token < stream.tokens; ++token) {
      const Stream* row = stream.row(batch, token);
      norm_detail::add_gated(delta.row(batch, token), gate.data == nullptr ? nullptr : gate.row(batch),
                             stream.row(batch, token), stream.width);
      if (out.data == nullptr) continue;
      T* target = out.row(batch, token);
      if (static_cast<const void*>(target) == row) continue;
#pragma omp simd
      for (index_t i = 0; i < stream.width; ++i) round_into(target[i], float(row[i]));
    }
}

/// The same with out quantised as quantize_rows does, from the stream as it is stored: an fp8 matrix
/// product's input without a pass of its own. Here out needs data.
template <class Delta, HostElement Stream>
requires HostElement<std::remove_const_t<Delta>>
void gated_residual(Host, TokensView<Delta> delta, MatrixView<const float> gate, TokensView<Stream> stream,
                    ScaledTokensView out) {
  require_gated_residual_shapes(delta, gate, stream, out);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < stream.batch; ++batch)
    for (index_t token = 0; token < stream.tokens; ++token) {
      Stream* row = stream.row(batch, token);
      norm_detail::add_gated(delta.row(batch, token), gate.data == nullptr ? nullptr : gate.row(batch), row,
                             stream.width);
      norm_detail::store_row(out, batch, token, [row](index_t i) { return float(row[i]); });
    }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct GatedResidual;
}  // namespace calls

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::GatedResidual, D>) void gated_residual(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::GatedResidual, D>, "gated_residual on a Device is in <stepvideo/kernels/norm/gated_residual.cuh>, which nvcc compiles");
  // clang-format on
}

}  // namespace stepvideo
