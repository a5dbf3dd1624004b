// The video VAE's convolutions: causal in time, or of each frame alone.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/conv/conv_weight.hpp>
#include <stepvideo/kernels/conv/implicit_gemm.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = epilogue(conv(in) + bias): (frames, height, width, in channels) to (frames', height', width', out
/// channels). Kernel 3: two zero frames in front, padding 1 in space; kernel 1: neither. Stride 1 or 2 on all
/// three axes, out extents (n - 1) / stride + 1 of the (upsampled) input's. Sums in float32, rounded to out's
/// element once, after the epilogue, which sees (pixels, out channels): Residual{x.rows()} adds x, which may
/// be out itself. in, weight and out may differ in their elements. Throws RequestError where shapes disagree.
template <Element T, class In, Element Out, Epilogue E = Store>
void causal_conv3d(Host, VideoView<In> in, ConvWeight<T> weight,
                   std::type_identity_t<VectorView<const T>> bias, const ConvOptions& options,
                   VideoView<Out> out, const E& epilogue = {}) {
  const ConvGeometry geometry = causal_geometry(weight.shape, options);
  require_conv_shapes("causal_conv3d", weight.shape, options, geometry, in, bias.size, out);
  epilogue.require_fits(out.pixels(), out.channels);
  detail::convolve(geometry, VideoView<const In>(in), weight, bias, out, epilogue);
}

/// The same of each frame alone, with a weight of kernel_frames 1: kernel 3 at stride 1 has padding 1; at
/// stride 2 it has one zero row below and one zero column at the right, and out extents n / 2.
template <Element T, class In, Element Out, Epilogue E = Store>
void conv2d(Host, VideoView<In> in, ConvWeight<T> weight, std::type_identity_t<VectorView<const T>> bias,
            const ConvOptions& options, VideoView<Out> out, const E& epilogue = {}) {
  require(
      weight.shape.kernel_frames == 1 && options.upsample_frames == 1 && options.skipped_frames == 0,
      "conv2d: the weight spans frames, or the options upsample or skip them; it works on each frame alone");
  const ConvGeometry geometry = frame_geometry(weight.shape, options);
  require_conv_shapes("conv2d", weight.shape, options, geometry, in, bias.size, out);
  epilogue.require_fits(out.pixels(), out.channels);
  detail::convolve(geometry, VideoView<const In>(in), weight, bias, out, epilogue);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
