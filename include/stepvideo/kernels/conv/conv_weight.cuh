// Convolution weights as the GPU's kernels read them.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/conv/conv_weight.hpp>
#include <stepvideo/kernels/tile/grid.hpp>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<PackConvWeight, Device> = true;
}  // namespace calls

template <Element T, ConvForm conv_form>
struct PackConvPolicy {
  using Element = T;
  static constexpr ConvForm form = conv_form;
  static constexpr int threads = 256;
};

template <class T>
struct PackConvParams {
  const T* weight;
  ConvShape shape;
  T* packed;  ///< (places, taps of a place, out channels, in channels)
};

/// A thread makes all taps of one pair of channels at one place, in the order in which the weight lies.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    pack_conv_weight_kernel(PackConvParams<typename Policy::Element> params) {
  using Places = ConvPlaces<Policy::form>;
  const ConvShape& shape = params.shape;
  const index_t pairs = shape.out_channels * shape.in_channels;
  const index_t pair = index_t{blockIdx.x} * Policy::threads + threadIdx.x;
  if (pair >= pairs) return;
  const int place = static_cast<int>(blockIdx.y), taps = Places::weight(shape).taps();
  for (int tap = 0; tap < taps; ++tap)
    params.packed[(place * taps + tap) * pairs + pair] =
        conv_detail::weight_at<Policy::form>(params.weight + pair * shape.taps(), shape, place, tap);
}

/// Elements of the packed weight. Throws RequestError where the shape or the form is not built.
template <ConvForm form = ConvForm::plain>
index_t conv_weight_elements(Device, const ConvShape& shape) {
  require_conv_weight("conv_weight_elements", shape, form);
  return ConvPlaces<form>::of(shape) * ConvPlaces<form>::weight(shape).elements();
}

/// See the host's: same shapes, same errors. Runs on device.stream.
template <ConvForm form = ConvForm::plain, Element T>
PackedConvWeight<T, Device, form> pack_conv_weight(Device device,
                                                   std::type_identity_t<VectorView<const T>> weight,
                                                   const ConvShape& shape, VectorView<T> packed) {
  require_packable(weight, shape, packed, conv_weight_elements<form>(device, shape));
  using Policy = PackConvPolicy<T, form>;
  const index_t pairs = shape.out_channels * shape.in_channels;
  launch({.grid = dim3(grid_blocks("pack_conv_weight", (pairs + Policy::threads - 1) / Policy::threads),
                       static_cast<unsigned>(ConvPlaces<form>::of(shape))),
          .block = Policy::threads,
          .stream = device.stream},
         pack_conv_weight_kernel<Policy>, PackConvParams<T>{weight.data, shape, packed.data});
  return {shape, device_conv_order, packed.data};
}

}  // namespace stepvideo
