// Which kernel serves a convolution on a GPU, and why not the fastest. The rules are judged from what is
// passed in, so that they hold for a GPU that is not there.
#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/tile/kernel_gpu.hpp>

namespace stepvideo {

enum class ConvKernel {
  warpgroup,  ///< Hopper's warpgroup products and bulk copies: the fastest
  warp,       ///< mma.sync: any alignment, any input element
  plain,      ///< float32 arithmetic without tensor cores
  none        ///< the GPU is too old, or the weight fp8 and warpgroup products cannot serve it
};

/// The kernel of a call, and what stands in the way of a faster one.
struct ConvPath {
  enum class Obstacle { none, old_gpu, element, other_gpu, build, input, channels, address };

  ConvKernel kernel = ConvKernel::warpgroup;
  Obstacle obstacle = Obstacle::none;
  int compute_capability = 0;
  index_t in_channels = 0;
  std::string_view element, input;
};

/// Elements that Hopper's warpgroup products multiply.
template <Element T>
inline constexpr bool warpgroup_products_take = sizeof(T) == 2 || std::same_as<T, fp8_e4m3>;

/// The kernel that serves causal_conv3d or conv2d with a weight of T, whose rules `in` keeps, on `gpu`.
template <Element T, class In>
ConvPath conv_path(const KernelGpu& gpu, const VideoView<In>& in) {
  using Obstacle = ConvPath::Obstacle;
  using Input = std::remove_const_t<In>;
  constexpr ConvKernel next = std::same_as<T, fp8_e4m3> ? ConvKernel::none : ConvKernel::warp;
  ConvPath path{.compute_capability = gpu.compute_capability,
                .in_channels = in.channels,
                .element = element_name<T>,
                .input = element_name<Input>};
  const auto stands = [&](bool in_the_way, ConvKernel kernel, Obstacle obstacle) {
    if (in_the_way && path.obstacle == Obstacle::none) path.kernel = kernel, path.obstacle = obstacle;
  };
  stands(gpu.compute_capability < 80, ConvKernel::none, Obstacle::old_gpu);
  stands(!warpgroup_products_take<T>, ConvKernel::plain, Obstacle::element);
  stands(gpu.compute_capability / 10 != 9, next, Obstacle::other_gpu);
  stands(!gpu.has_code_for_warpgroups, next, Obstacle::build);
  stands(!std::same_as<Input, T>, next, Obstacle::input);
  stands(in.channels * index_t{sizeof(T)} % 16 != 0, next, Obstacle::channels);
  stands(reinterpret_cast<std::uintptr_t>(in.data) % 16 != 0, next, Obstacle::address);
  return path;
}

/// "warpgroup products", or "mma.sync, because in has 3 channels, which are no multiple of 16 bytes".
inline std::string to_string(const ConvPath& path) {
  using Obstacle = ConvPath::Obstacle;
  const auto reason = [&]() -> std::string {
    switch (path.obstacle) {
      case Obstacle::old_gpu:
        return old_gpu_text(path.compute_capability);
      case Obstacle::element:
        return "weights are " + std::string(path.element) + "; tensor cores take bf16, fp16 and fp8";
      case Obstacle::other_gpu:
        return not_hopper_text(path.compute_capability);
      case Obstacle::build:
        return no_warpgroup_code_text();
      case Obstacle::input:
        return "in is " + std::string(path.input) + " and the weight " + std::string(path.element);
      case Obstacle::channels:
        return "in has " + std::to_string(path.in_channels) + " channels, which are no multiple of 16 bytes";
      case Obstacle::address:
        return "in does not start at a multiple of 16 bytes";
      case Obstacle::none:
        break;
    }
    return {};
  };
  switch (path.kernel) {
    case ConvKernel::warpgroup:
      return "warpgroup products";
    case ConvKernel::warp:
      return "mma.sync, because " + reason();
    case ConvKernel::plain:
      return "plain float32 arithmetic, because " + reason();
    case ConvKernel::none:
      break;
  }
  return "no kernel, because " + reason();
}

}  // namespace stepvideo
