// Convolution on any GPU from compute capability 8.0 on: threads gather pixels and weights into shared
// memory, whatever their alignment and element, and multiply tile by tile.
#pragma once
#include <concepts>
#include <type_traits>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/kernels/conv/conv_products.cuh>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/conv/conv_tiling.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

template <Element T, class InType, class Finish, class OutType>
struct GatheredConvPolicy {
  using Element = T;
  using In = InType;
  using Out = OutType;
  using Epilogue = Finish;
  static constexpr int channels = ConvProductTile::rows;
  /// Of a tile's 64 pixels.
  static constexpr TileShape tile_shapes[] = {{8, 8}, {16, 4}, {64, 1}};
};

template <class Policy>
struct GatheredConvParams {
  VideoView<const typename Policy::In> in;
  const typename Policy::Element* weight;  ///< (places, taps of a place, out channels, in channels)
  VectorView<const typename Policy::Element> bias;
  VideoView<typename Policy::Out> out;
  PlaceGeometries places;
  ConvTiling tiling;
  typename Policy::Epilogue epilogue;
  bool moves_packs;  ///< rows of in channels are whole packs of eight
};

/// The taps of a place, as all pixels see them: how far from a pixel's own place in the input each lies.
struct ConvTapOffsets {
  static constexpr int most = 27;
  index_t of[most];

  /// All threads of the block call it; a barrier follows.
  template <class In>
  __device__ void make(const ConvGeometry& at, const VideoView<In>& in) {
    const int columns = at.width.taps, plane = at.height.taps * columns, taps = at.frames.taps * plane;
    for (int tap = threadIdx.x; tap < taps; tap += blockDim.x)
      of[tap] = ((index_t{tap / plane} * in.height + tap % plane / columns) * in.width + tap % columns) *
                in.channels;
  }
};

/// What lies under the taps at one pixel of a tile.
template <class In>
struct PixelTaps {
  const In* first;  ///< under the first tap, or where it would be
  unsigned is_there = 0;

  static __device__ PixelTaps of(const ConvGeometry& at, const VideoView<const In>& in, int frame, int y,
                                 int x) {
    const auto corner = [](const ConvAxis& axis, int output) {
      return index_t{output + axis.skipped} * axis.stride - axis.front;
    };
    PixelTaps taps{in.pixel(corner(at.frames, frame), corner(at.height, y), corner(at.width, x))};
    int tap = 0;
    for (int t = 0; t < at.frames.taps; ++t)
      for (int v = 0; v < at.height.taps; ++v)
        for (int u = 0; u < at.width.taps; ++u, ++tap)
          if (at.frames.source(frame, t, in.frames) >= 0 && at.height.source(y, v, in.height) >= 0 &&
              at.width.source(x, u, in.width) >= 0)
            taps.is_there |= 1u << tap;
    return taps;
  }
};

/// Elements first, first + 1, ... of a row that is the channels of each tap, one tap behind the other; zeros
/// where `under(tap)` is null. `unit` neighbours are of one tap and lie in a whole pack.
template <int unit, class T, class Under>
__device__ Pack<T, ConvProductTile::thread_depth> gather(Under&& under, int first, int channels) {
  constexpr int count = ConvProductTile::thread_depth;
  int tap = first / channels, channel = first - tap * channels;
  const auto* source = under(tap);
  float values[count];
#pragma unroll
  for (int i = 0; i < count; i += unit) {
    float part[unit] = {};
    if (source != nullptr) widen_pack(load_pack<unit>(source + channel), part);
#pragma unroll
    for (int k = 0; k < unit; ++k) values[i + k] = part[k];
    channel += unit;
    if (channel == channels) channel = 0, source = under(++tap);
  }
  return round_pack<T>(values);
}

/// A block computes 64 pixels of a frame by 64 output channels; what it multiplies next is on its way in
/// registers.
template <class Policy>
__global__ void __launch_bounds__(ConvProductTile::threads)
    gathered_conv_kernel(const __grid_constant__ GatheredConvParams<Policy> params) {
  using T = typename Policy::Element;
  using Products = ConvProducts<T>;
  __shared__ typename Products::Tile pixels, weights;

  const ConvTiling& tiling = params.tiling;
  const ConvTile tile = tiling.tile(static_cast<int>(blockIdx.x));
  const ConvGeometry& at = params.places.of[tile.place];
  const int plane = at.height.taps * at.width.taps, taps = at.frames.taps * plane;
  const int channels = static_cast<int>(params.in.channels);
  const auto pixel_y = [&](int row) { return tile.y + row / tiling.width; };
  const auto pixel_x = [&](int row) { return tile.x + row % tiling.width; };

  __shared__ ConvTapOffsets offsets;
  offsets.make(at, params.in);
  __syncthreads();

  // Two threads bring a row of each tile.
  const int row = threadIdx.x / 2, half = threadIdx.x % 2 * ConvProductTile::thread_depth;
  const auto pixel_taps =
      PixelTaps<typename Policy::In>::of(at, params.in, tile.frame, pixel_y(row), pixel_x(row));
  const auto under_pixel = [&](int tap) {
    return tap < taps && pixel_taps.is_there >> tap & 1 ? pixel_taps.first + offsets.of[tap] : nullptr;
  };
  const int weight_channel = tile.channel + row;
  const index_t tap_weights = params.out.channels * channels;
  const T* first_weight =
      params.weight + index_t{tile.place} * taps * tap_weights + index_t{weight_channel} * channels;
  const auto under_weight = [&](int tap) {
    return tap < taps && weight_channel < params.out.channels ? first_weight + tap * tap_weights : nullptr;
  };
  typename Products::Staged next_pixels, next_weights;
  const auto load = [&](int first) {
    if (params.moves_packs) {
      next_pixels = gather<8, T>(under_pixel, first + half, channels);
      next_weights = gather<8, T>(under_weight, first + half, channels);
    } else {
      next_pixels = gather<1, T>(under_pixel, first + half, channels);
      next_weights = gather<1, T>(under_weight, first + half, channels);
    }
  };

  int frame_tap = 0;  // whose input frame is none of the zeros, which come first
  while (at.frames.source(tile.frame, frame_tap, params.in.frames) < 0) ++frame_tap;
  Products products;
  const int depth = taps * channels;
  int next = frame_tap * plane * channels;
  load(next);
  while (next < depth) {
    __syncthreads();
    pixels.put(row, half, next_pixels), weights.put(row, half, next_weights);
    __syncthreads();
    next += ConvProductTile::depth;
    if (next < depth) load(next);
    products.add(pixels, weights);
  }

  const VideoView<typename Policy::Out>& out = params.out;
  products.for_each([&](int of_tile, int column, float sum) {
    const index_t line = at.height.place(pixel_y(of_tile)), place = at.width.place(pixel_x(of_tile));
    const index_t channel = tile.channel + column;
    if (line >= out.height || place >= out.width || channel >= out.channels) return;
    const index_t result = (at.frames.place(tile.frame) * out.height + line) * out.width + place;
    round_into(out.data[result * out.channels + channel],
               params.epilogue.row(result)(sum + float(params.bias[channel]), channel));
  });
}

/// The convolution where conv_path() says ConvKernel::warp or plain, with arguments that have passed its
/// checks; `weight` as launch_warpgroup_conv takes it. `in` is rounded to T.
template <Element T, class In, Element Out, class Finish>
void launch_gathered_conv(Device device, const PlaceGeometries& places, VideoView<const In> in,
                          const T* weight, VectorView<const T> bias, const Finish& epilogue,
                          VideoView<Out> out) {
  using Policy = GatheredConvPolicy<T, In, Finish, Out>;
  const auto tiling = ConvTiling::of(places, out, Policy::tile_shapes, Policy::channels);
  const bool moves_packs = packs_fit<8>(in.data, in.channels) && packs_fit<8>(weight);
  launch({.grid = grid_blocks("causal_conv3d", tiling.count()),
          .block = ConvProductTile::threads,
          .stream = device.stream},
         gathered_conv_kernel<Policy>,
         GatheredConvParams<Policy>{in, weight, bias, out, places, tiling, epilogue, moves_packs});
}

}  // namespace stepvideo
