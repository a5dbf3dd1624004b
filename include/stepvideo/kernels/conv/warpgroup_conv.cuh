// Convolution on GPUs with warpgroup matrix products and bulk copies: one thread fetches, warpgroups compute.
#pragma once
#include <algorithm>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/conv/conv_path.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/conv/warpgroup_conv_mainloop.cuh>
#include <stepvideo/kernels/tile/kernel_gpu.cuh>
#include <stepvideo/kernels/tile/shared_memory.cuh>

namespace stepvideo {

template <class ConvPolicy, class Finish, class OutType>
struct WarpgroupConvKernel {
  using Policy = ConvPolicy;
  struct Params {
    WarpgroupConvParams<typename Policy::Element> conv;
    ConvResults<Finish, OutType> results;
  };
};

/// A block stays on its multiprocessor and works through every so-many-th tile. Compiled for a GPU without
/// warpgroup products it does nothing and admits no launch.
template <class Kernel>
__global__ void __launch_bounds__(has_warpgroup_products ? Kernel::Policy::threads : 32, 1)
    warpgroup_conv_kernel(const __grid_constant__ typename Kernel::Params params) {
  if constexpr (has_warpgroup_products) {
    using Policy = typename Kernel::Policy;
    auto& shared = shared_memory<WarpgroupConvShared<Policy>>();
    if (threadIdx.x == 0) shared.initialize_barriers();
    __syncthreads();

    const ConvTiling& tiling = params.conv.tiling;
    // The same in all lanes of a warp, which the compiler cannot know of threadIdx.
    const int warpgroup = __shfl_sync(0xFFFFFFFFu, static_cast<int>(threadIdx.x) / Policy::warpgroup, 0);
    if (warpgroup == 0) {
      release_registers<Policy::producer_registers>();
      ConvProducer<Policy> producer(params.conv, shared);
      if (threadIdx.x == 0)
        for_each_resident_tile(tiling, [&](const ConvTile& tile) { producer.fetch(tile); });
    } else {
      claim_registers<Policy::consumer_registers>();
      ConvConsumer<Policy> consumer(params.conv, shared, warpgroup - 1);
      const int warp = threadIdx.x / 32 % 4;
      float* line = shared.lines[(warpgroup - 1) * 4 + warp];
      const auto& results = params.results;
      constexpr int vector = std::remove_cvref_t<decltype(results)>::vector;
      for_each_resident_tile(tiling, [&](const ConvTile& tile) {
        typename ConvConsumer<Policy>::Sums sums;
        LaneMoments<vector> gathered;
        const ConvGeometry& at = params.conv.places.of[tile.place];
        consumer.accumulate(tile, sums);
        consumer.for_each_piece(tile, [&](int piece, int x, int y) {
#pragma unroll
          for (int r = 0; r < 2; ++r)  // a warp has two lines of a piece
            results.template store_line<Policy>(at, tile, x, y + 2 * warp + r, sums[piece], r, line,
                                                gathered);
        });
        if (results.moments.data != nullptr)
          store_moments<LineLanes<Policy, vector>>(shared, warpgroup - 1, gathered, params.conv.tiling, tile,
                                                   static_cast<int>(at.frames.place(tile.frame)),
                                                   static_cast<int>(results.out.channels), results.moments);
      });
    }
  }
}

/// What both kernels of warpgroups are told of a convolution; `weight` has `weight_rows` rows of in channels
/// for each of `weight_taps` taps that are fetched apart.
template <class Policy, Element T>
WarpgroupConvParams<T> warpgroup_conv_params(const PlaceGeometries& places, VideoView<const T> in,
                                             const ConvTiling& tiling, const ConvBoxes& boxes,
                                             const T* weight, index_t weight_rows, int weight_taps,
                                             VectorView<const T> bias) {
  constexpr index_t size = sizeof(T);
  const int stride = places.of[0].width.stride;
  return {.pixels = tensor_map(
              in.data, {in.channels, in.width, in.height, in.frames},
              {in.channels * size, in.width * in.channels * size, in.height * in.width * in.channels * size},
              {Policy::depth, boxes.width, boxes.height, 1}, {1, stride, stride, 1}, shape_text(in)),
          .weights = tensor_map(weight, {in.channels, weight_rows, index_t{places.count} * weight_taps},
                                {in.channels * size, in.channels * weight_rows * size},
                                {Policy::depth, Policy::columns, 1}, {1, 1, 1},
                                std::to_string(weight_taps) + " taps, " + std::to_string(weight_rows) +
                                    " rows of " + std::to_string(in.channels) + " channels"),
          .places = places,
          .tiling = tiling,
          .boxes = boxes,
          .in_frames = static_cast<int>(in.frames),
          .depth_blocks = static_cast<int>((in.channels + Policy::depth - 1) / Policy::depth),
          .place_taps = weight_taps,
          .bias = bias};
}

/// Calls use(Policy{}) with the tuning for so many input channels.
template <Element T, class Use>
decltype(auto) with_warpgroup_conv_policy(index_t in_channels, Use&& use) {
  if (in_channels * index_t{sizeof(T)} <= 32) return use(WarpgroupConvPolicy<T, 128, 1>{});
  return use(WarpgroupConvPolicy<T, 128, 4>{});
}

/// The current device and, for elements that it takes, this program's code of warpgroup_conv for it.
template <Element T, Element Out, class Finish>
KernelGpu warpgroup_conv_gpu() {
  if constexpr (warpgroup_products_take<T>) {
    using Policy = WarpgroupConvPolicy<T, 128, 4>;
    return kernel_gpu(warpgroup_conv_kernel<WarpgroupConvKernel<Policy, Finish, Out>>, Policy::threads);
  } else {
    return kernel_gpu();
  }
}

/// Extents of the moments that launch_warpgroup_conv leaves of `out`, in so many units; without parts where
/// it can leave none: a unit would lie in two blocks of channels, or rows are no whole packs.
template <Element T, class Finish, class Out>
PartMomentsView warpgroup_conv_moments(const PlaceGeometries& places, VideoView<Out> out,
                                       const Finish& epilogue, index_t units) {
  using Policy = WarpgroupConvPolicy<T, 128, 4>;
  if (out.channels % units != 0 || !ConvResults<Finish, Out>::packs_are_whole(out, epilogue)) return {};
  if (out.channels > Policy::columns && Policy::columns % (out.channels / units) != 0) return {};
  const auto tiling = ConvTiling::of(places, out, Policy::tile_shapes, Policy::columns);
  return {nullptr, out.frames, index_t{tiling.frame_parts()} * Policy::consumers, units};
}

/// The convolution where conv_path() says ConvKernel::warpgroup, with arguments that have passed its checks;
/// `weight` (places, taps of a place, out channels, in channels). Sums are float32, from the bias on, over
/// input frames, blocks of 128 bytes of channels, then taps.
template <Element T, Element Out, class Finish>
void launch_warpgroup_conv(Device device, const PlaceGeometries& places, VideoView<const T> in,
                           const T* weight, VectorView<const T> bias, const Finish& epilogue,
                           VideoView<Out> out, const PartMomentsView& moments) {
  with_warpgroup_conv_policy<T>(in.channels, [&]<class Policy>(Policy) {
    using Kernel = WarpgroupConvKernel<Policy, Finish, Out>;
    const ConvGeometry& first = places.of[0];
    const auto tiling = ConvTiling::of(places, out, Policy::tile_shapes, Policy::columns);
    const typename Kernel::Params params{
        .conv = warpgroup_conv_params<Policy>(places, in, tiling, ConvBoxes::of(first, tiling), weight,
                                              out.channels,
                                              first.frames.taps * first.height.taps * first.width.taps, bias),
        .results = {out, epilogue, ConvResults<Finish, Out>::packs_are_whole(out, epilogue), moments}};
    launch({.grid = resident_blocks(tiling.count()),
            .block = Policy::threads,
            .shared_bytes = sizeof(WarpgroupConvShared<Policy>),
            .stream = device.stream},
           warpgroup_conv_kernel<Kernel>, params);
  });
}

}  // namespace stepvideo
