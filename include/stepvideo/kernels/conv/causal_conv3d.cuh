// The video VAE's convolutions on the GPU, behind the same calls as on the CPU.
#pragma once
#include <type_traits>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/conv/conv_path.hpp>
#include <stepvideo/kernels/conv/conv_weight.cuh>
#include <stepvideo/kernels/conv/gathered_conv.cuh>
#include <stepvideo/kernels/conv/narrow_conv.cuh>
#include <stepvideo/kernels/conv/warpgroup_conv.cuh>
#include <stepvideo/kernels/tile/scale_and_bias.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Convolution, Device> = true;
}  // namespace calls

/// Which kernel serves causal_conv3d(device, in, ...) or conv2d on the current GPU with a weight of T, and
/// why not the fastest.
template <Element T, Element Out, Epilogue Finish, class In>
ConvPath conv_path(Device, VideoView<In> in) {
  return conv_path<T>(warpgroup_conv_gpu<T, Out, Finish>(), in);
}

namespace conv_detail {

template <ConvForm form, class T, class In, class Out, Epilogue Finish>
void require_and_convolve(Device device, const char* kernel, const ConvGeometry& plain,
                          VideoView<const In> in, const PackedConvWeight<T, Device, form>& weight,
                          VectorView<const T> bias, const ConvOptions& options, const Finish& epilogue,
                          VideoView<Out> out, const PartMomentsView& moments) {
  const PlaceGeometries places = place_geometries<form>(weight.shape(), plain, options);
  require_conv_call(kernel, places, in, weight, device_conv_order, bias, options, epilogue, out);
  const ConvPath path = conv_path<T, Out, Finish>(device, in);
  require(path.kernel != ConvKernel::none, [&] { return std::string(kernel) + ": " + to_string(path); });
  if constexpr (std::same_as<In, T> && warpgroup_products_take<T>) {
    if (path.kernel == ConvKernel::warpgroup) {
      if constexpr (sizeof(T) == 2) {
        if (NarrowConvPolicy<T>::serves(places, out.channels) && moments.data == nullptr)
          return launch_narrow_conv(device, places, in, weight.data(), bias, epilogue, out);
      }
      const PartMomentsView left = moments.data == nullptr
                                       ? PartMomentsView{}
                                       : warpgroup_conv_moments<T>(places, out, epilogue, moments.units);
      require(moments.data == nullptr || (left.size() > 0 && left.size() == moments.size()), [&] {
        return std::string(kernel) + ": out is " + shape_text(out) + " and its moments " +
               shape_text(moments) + "; conv_moments() says which it leaves";
      });
      return launch_warpgroup_conv(device, places, in, weight.data(), bias, epilogue, out, moments);
    }
  }
  require(moments.data == nullptr,
          [&] { return std::string(kernel) + ": no moments are left by " + to_string(path); });
  if constexpr (!std::same_as<T, fp8_e4m3>)
    launch_gathered_conv(device, places, in, weight.data(), bias, epilogue, out);
}

}  // namespace conv_detail

/// See the host's: same shapes, same errors. Runs on device.stream. conv_path() says which kernel serves a
/// call; the fastest takes an `in` of the weight's element, whose channels are whole 16 bytes. An `in` of
/// another element is rounded to the weight's. With data in `moments`, of conv_moments()' extents, the
/// moments of `out`, not yet rounded, are left there for the GroupNorm that follows. A weight of fp8 takes an
/// `in` of fp8 and no bias: ScaleAndBias (tile/scale_and_bias.hpp), first in the epilogue, makes values of
/// the sums.
template <Element T, ConvForm form, class In, Element Out, Epilogue Finish>
void causal_conv3d(Device device, VideoView<In> in, const PackedConvWeight<T, Device, form>& weight,
                   std::type_identity_t<VectorView<const T>> bias, const ConvOptions& options,
                   const Finish& epilogue, VideoView<Out> out, const PartMomentsView& moments = {}) {
  require_causal_weight(weight.shape(), form);
  conv_detail::require_and_convolve(device, "causal_conv3d", causal_geometry(weight.shape(), options),
                                    VideoView<const In>(in), weight, bias, options, epilogue, out, moments);
}
template <Element T, ConvForm form, class In, Element Out, Epilogue Finish>
void conv2d(Device device, VideoView<In> in, const PackedConvWeight<T, Device, form>& weight,
            std::type_identity_t<VectorView<const T>> bias, const ConvOptions& options,
            const Finish& epilogue, VideoView<Out> out) {
  require_frame_weight(weight.shape(), options);
  conv_detail::require_and_convolve(device, "conv2d", frame_geometry(weight.shape(), options),
                                    VideoView<const In>(in), weight, bias, options, epilogue, out, {});
}

/// Extents of the moments that causal_conv3d(device, in, weight, bias, options, epilogue, out, moments) can
/// leave of `out` in `units` units (groups of neighbouring channels); no parts where it leaves none. They
/// depend on `out` and the weight's form alone where there are any.
template <Element T, ConvForm form, class In, Element Out, Epilogue Finish>
PartMomentsView conv_moments(Device device, VideoView<In> in, const PackedConvWeight<T, Device, form>& weight,
                             const ConvOptions& options, const Finish& epilogue, VideoView<Out> out,
                             index_t units) {
  if (conv_path<T, Out, Finish>(device, in).kernel != ConvKernel::warpgroup) return {};
  return warpgroup_conv_moments<T>(
      place_geometries<form>(weight.shape(), causal_geometry(weight.shape(), options), options), out,
      epilogue, units);
}

}  // namespace stepvideo
