// Rows to fp8 with a scale each, and a function of each element.
#pragma once
#include <concepts>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/activation.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out.values = fp8(function(in) / scale), scale = max(|function(row)|) / 448: (batch, tokens, width), any
/// strides; GeluTanh{} is a function, evaluated in float32. See Fp8Scale for zeros, NaN and infinities. The
/// same bits on every execution where the function has them, as Identity does. Throws RequestError where
/// shapes disagree.
template <class In, class Function = Identity>
requires Element<std::remove_const_t<In>>
void quantize_rows(Host, TokensView<In> in, ScaledTokensView out, Function function = {}) {
  require_scaled_tokens_fit("quantize_rows", in, out);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t token = 0; token < in.tokens; ++token) {
      const In* source = in.row(batch, token);
      fp8_e4m3* target = out.values.row(batch, token);
      float largest = 0;
#pragma omp simd reduction(max : largest)
      for (index_t i = 0; i < in.width; ++i) largest = LargerMagnitude{}(largest, function(float(source[i])));
      const Fp8Scale scale = Fp8Scale::of(largest);
      out.scale(batch, token) = scale.scale;
#pragma omp simd
      for (index_t i = 0; i < in.width; ++i) round_into(target[i], scale(function(float(source[i]))));
    }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct QuantizeRows;
}  // namespace calls

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::QuantizeRows, D>) void quantize_rows(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::QuantizeRows, D>, "quantize_rows on a Device is in <stepvideo/kernels/elementwise/quantize_rows.cuh>, which nvcc compiles");
  // clang-format on
}

}  // namespace stepvideo
