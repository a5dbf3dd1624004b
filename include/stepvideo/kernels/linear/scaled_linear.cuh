// Dense layers of fp8 on the GPU, behind the same call as on the CPU. Links cuBLASLt (stepvideo::matmul).
#pragma once
#include <type_traits>

#include <stepvideo/kernels/linear/linear.cuh>
#include <stepvideo/kernels/linear/scaled_linear_call.hpp>

namespace stepvideo {

/// See the host's: same shapes, same errors. On Hopper the library multiplies with the scales and applies an
/// epilogue that is EpilogueRunsInMatmul in one product; on other chips, and with another epilogue, the sums
/// take a pass over memory more, as those of linear do. Throws as linear
/// does.
template <Epilogue Finish, MatmulOperand Out>
void linear(Device device, const ScaledRows& in, const ScaledRows& weight, const Finish& epilogue,
            MatrixView<Out> out, const LinearOptions& options = {}) {
  require_scaled_linear(in, weight, epilogue, out, options);
  linear_detail::require_served<fp8_e4m3>(device, in.values, weight.values, out);
  if (out.rows == 0 || out.columns == 0) return;
  const index_t planned_rows = options.planned_rows > 0 ? options.planned_rows : out.rows;
  if constexpr (EpilogueRunsInMatmul<Finish, Out>) {
    const auto terms = linear_detail::matmul_terms<Out>(epilogue);
    if (linear_detail::terms_fit_library(terms)) {
      auto call =
          linear_detail::matmul_call<fp8_e4m3, Out>(in.values, weight.values, terms, out, planned_rows);
      call.in_scales = in.scales.data, call.weight_scales = weight.scales.data;
      if (device.matmuls->multiply(call)) return;
    }
  }
  linear_detail::multiply_then_apply<fp8_e4m3>(device, in.values, weight.values,
                                               chain(ScaleRowsAndColumns{in.scales, weight.scales}, epilogue),
                                               out, planned_rows);
}

}  // namespace stepvideo
