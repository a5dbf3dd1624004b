// Rearranged videos on the GPU.
#pragma once
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/conv/rearrange.hpp>
#include <stepvideo/kernels/tile/grid.hpp>

namespace stepvideo::conv_detail {

template <class SourceType, class EpilogueType, class OutType>
struct RearrangePolicy {
  using Source = SourceType;
  using Epilogue = EpilogueType;
  using Out = OutType;
  static constexpr int threads = 256;
};

template <class Policy>
struct RearrangeParams {
  typename Policy::Source source;
  typename Policy::Epilogue epilogue;
  VideoView<typename Policy::Out> out;
  int row_elements;  ///< of a row of pixels
};

/// A thread makes one element; neighbours write side by side. The videos are small, and what is read in
/// strides comes from the cache the other times.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads) rearrange_kernel(RearrangeParams<Policy> params) {
  const auto at = blockIdx.x * static_cast<unsigned>(Policy::threads) + threadIdx.x;
  if (at >= static_cast<unsigned>(params.row_elements)) return;
  const auto channels = static_cast<unsigned>(params.out.channels);
  const index_t frame = blockIdx.z, y = blockIdx.y, x = at / channels, c = at % channels;
  const index_t pixel = (frame * params.out.height + y) * params.out.width + x;
  const float value = params.source.pixel(frame, y, x)(c);
  params.out.data[pixel * channels + c] = typename Policy::Out(params.epilogue.row(pixel)(value, c));
}

/// See the host's. Runs on device.stream.
template <class Source, Epilogue Finish, Element Out>
void rearrange(Device device, const char* kernel, const Source& source, const Finish& epilogue,
               VideoView<Out> out) {
  using Policy = RearrangePolicy<Source, Finish, Out>;
  epilogue.require_fits(out.pixels(), out.channels);
  const int row_elements = row_channels(kernel, out.width * out.channels);
  launch({.grid = dim3(static_cast<unsigned>((row_elements + Policy::threads - 1) / Policy::threads),
                       short_grid_blocks(kernel, out.height), short_grid_blocks(kernel, out.frames)),
          .block = Policy::threads,
          .stream = device.stream},
         rearrange_kernel<Policy>, RearrangeParams<Policy>{source, epilogue, out, row_elements});
}

}  // namespace stepvideo::conv_detail
