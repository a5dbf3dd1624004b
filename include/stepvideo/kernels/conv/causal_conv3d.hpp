// The video VAE's convolutions: causal in time, or of each frame alone.
#pragma once
#include <concepts>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/conv/conv_weight.hpp>
#include <stepvideo/kernels/conv/implicit_gemm.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What causal_conv3d and conv2d require of a weight beside what every convolution does.
inline void require_causal_weight(const ConvShape& shape, ConvForm form) {
  require(form == ConvForm::plain || shape.kernel_frames == 3, [&] {
    return "causal_conv3d: the weight is " + to_string(shape) +
           "; after a doubling of frames a kernel of 3 frames is built, and conv2d doubles none";
  });
}
inline void require_frame_weight(const ConvShape& shape, const ConvOptions& options) {
  require(shape.kernel_frames == 1 && options.skipped_frames == 0,
          "conv2d: the weight spans frames, or the options skip them; it works on each frame alone");
}

/// What every convolution requires of a call, on any execution. Throws RequestError.
template <class T, Execution E, ConvForm form, class In, class Out, Epilogue Finish>
void require_conv_call(const char* kernel, const PlaceGeometries& places, VideoView<const In> in,
                       const PackedConvWeight<T, E, form>& weight, const ConvWeightOrder& order,
                       VectorView<const T> bias, const ConvOptions& options, const Finish& epilogue,
                       VideoView<Out> out) {
  if constexpr (std::same_as<T, fp8_e4m3>) {
    require(bias.size == 0, [&] {
      return std::string(kernel) + ": bias has " + std::to_string(bias.size) +
             " elements; with a weight of fp8 it must be empty, and ScaleAndBias in the epilogue adds one";
    });
    require_conv_shapes(kernel, weight.shape(), form, options, places.of[0], in, out.channels, out);
  } else {
    require_conv_shapes(kernel, weight.shape(), form, options, places.of[0], in, bias.size, out);
    require(bias.data != nullptr,
            [&] { return std::string(kernel) + ": bias has no memory; its data must not be null"; });
  }
  require_packed(kernel, weight, order);
  epilogue.require_fits(out.pixels(), out.channels);
}

}  // namespace stepvideo

namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Judges the request, then computes it; `plain` is the geometry without a doubling.
template <ConvForm form, class T, class In, class Out, Epilogue Finish>
void require_and_convolve(const char* kernel, const ConvGeometry& plain, VideoView<const In> in,
                          const PackedConvWeight<T, Host, form>& weight, VectorView<const T> bias,
                          const ConvOptions& options, const Finish& epilogue, VideoView<Out> out) {
  const PlaceGeometries places = place_geometries<form>(weight.shape(), plain, options);
  require_conv_call(kernel, places, in, weight, host_order, bias, options, epilogue, out);
  convolve(places, in, weight, bias, out, epilogue);
}

}  // namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = epilogue(conv(in) + bias): (frames, height, width, in channels) to (frames', height', width', out
/// channels). Kernel 3: two zero frames in front, padding 1 in space; kernel 1: neither. Stride 1 or 2 on all
/// three axes, out extents (n - 1) / stride + 1 of in's; with a weight packed for ConvForm::after_doubling,
/// the convolution of in doubled along all three, out extents 2 n. Past frames have no outputs. Sums in
/// float32, rounded to out's element once, after the epilogue, which sees (pixels, out channels):
/// Residual{x.rows()} adds x, which may be out itself. in, weight and out may differ in their elements; in
/// and out must not overlap. Throws RequestError where shapes disagree or the weight is packed for another
/// instruction set.
template <HostElement T, ConvForm form, class In, HostElement Out, Epilogue Finish>
requires HostElement<std::remove_const_t<In>>
void causal_conv3d(Host, VideoView<In> in, const PackedConvWeight<T, Host, form>& weight,
                   std::type_identity_t<VectorView<const T>> bias, const ConvOptions& options,
                   const Finish& epilogue, VideoView<Out> out) {
  require_causal_weight(weight.shape(), form);
  conv_detail::require_and_convolve("causal_conv3d", causal_geometry(weight.shape(), options),
                                    VideoView<const In>(in), weight, bias, options, epilogue, out);
}

/// The same of each frame alone, with a weight of kernel_frames 1: kernel 3 at stride 1 has padding 1; at
/// stride 2 it has one zero row below and one zero column at the right, and out extents n / 2. After a
/// doubling, of rows and columns, 2 n.
template <HostElement T, ConvForm form, class In, HostElement Out, Epilogue Finish>
requires HostElement<std::remove_const_t<In>>
void conv2d(Host, VideoView<In> in, const PackedConvWeight<T, Host, form>& weight,
            std::type_identity_t<VectorView<const T>> bias, const ConvOptions& options,
            const Finish& epilogue, VideoView<Out> out) {
  require_frame_weight(weight.shape(), options);
  conv_detail::require_and_convolve("conv2d", frame_geometry(weight.shape(), options),
                                    VideoView<const In>(in), weight, bias, options, epilogue, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct Convolution;

template <class E, class Weight>
struct PackedFor {
  static constexpr bool is_packed = false;
  using type = float;
};
template <class E, class T, ConvForm form>
struct PackedFor<E, PackedConvWeight<T, E, form>> {
  static constexpr bool is_packed = true;
  using type = T;
};

template <class E, class In, class Weight, class Bias, class Finish, class Out>
inline constexpr Mistake convolution_mistake =
    first_of({execution_mistake<E, Convolution>,
              PackedFor<E, Weight>::is_packed ? Mistake::none : Mistake::unpacked_weight,
              is_computed<E, typename PackedFor<E, Weight>::type> ? any_operand_mistake<E, VideoView, In>
                                                                  : Mistake::operand_the_kernel_does_not_take,
              operand_mistake<VectorView, typename PackedFor<E, Weight>::type, Bias>,
              Epilogue<Finish> ? Mistake::none : Mistake::no_epilogue, result_mistake<E, VideoView, Out>});
}  // namespace calls

/// Every call of causal_conv3d that cannot be, to say why.
template <class E, class In, class Weight, class Finish, class Out, class Bias = calls::Braced>
requires calls::Mistaken<calls::convolution_mistake<E, In, Weight, Bias, Finish, Out>, E>
void causal_conv3d(const E&, const In&, const Weight&, const Bias&, const ConvOptions&, const Finish&,
                   const Out&) {
  constexpr auto mistake = calls::convolution_mistake<E, In, Weight, Bias, Finish, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "causal_conv3d on a Device is in <stepvideo/kernels/conv/causal_conv3d.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, In, Weight, Bias, Finish, Out>();
}
/// Every call of conv2d that cannot be, to say why.
template <class E, class In, class Weight, class Finish, class Out, class Bias = calls::Braced>
requires calls::Mistaken<calls::convolution_mistake<E, In, Weight, Bias, Finish, Out>, E>
void conv2d(const E&, const In&, const Weight&, const Bias&, const ConvOptions&, const Finish&, const Out&) {
  constexpr auto mistake = calls::convolution_mistake<E, In, Weight, Bias, Finish, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "conv2d on a Device is in <stepvideo/kernels/conv/causal_conv3d.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, In, Weight, Bias, Finish, Out>();
}
template <calls::First E, class In, class Weight, class Out, class Bias = calls::Braced>
void causal_conv3d(const E&, const In&, const Weight&, const Bias&, const ConvOptions&, const Out&) {
  // clang-format off
  static_assert(std::same_as<E, void>, "causal_conv3d takes an execution, in, the packed weight, the bias, options, an epilogue and out; Store{} is the epilogue that changes nothing");
  // clang-format on
}

}  // namespace stepvideo
