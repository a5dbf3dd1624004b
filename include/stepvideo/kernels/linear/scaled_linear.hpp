// Dense layers of fp8: y = x W^T, both with a scale for each of their rows. Needs OpenBLAS.
#pragma once
#include <stepvideo/core/scaled_rows.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/linear/scaled_linear_call.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = epilogue(in weight^T) of fp8: in (rows, depth), weight (columns, depth), a scale for each row of
/// both, out (rows, columns); depth and columns are multiples of 16. Sums in float32, then the scales, then
/// the epilogue, rounded to out's element once. Otherwise as linear of other elements.
template <Epilogue Finish, HostElement Out>
void linear(Host, const ScaledRows& in, const ScaledRows& weight, const Finish& epilogue, MatrixView<Out> out,
            const LinearOptions& options = {}) {
  require_scaled_linear(in, weight, epilogue, out, options);
  linear_detail::multiply_tiles<fp8_e4m3>(
      in.values, weight.values, chain(ScaleRowsAndColumns{in.scales, weight.scales}, epilogue), out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
