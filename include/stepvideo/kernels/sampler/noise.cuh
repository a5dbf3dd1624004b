// Normal noise on the GPU: the same bits as on the CPU.
#pragma once
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/sampler/noise.hpp>
#include <stepvideo/kernels/tile/grid.hpp>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<FillNormal, Device> = true;
}  // namespace calls

/// One element a thread: the time goes into philox and the logarithm, not into memory.
template <class T>
struct NoisePolicy {
  using Element = T;
  static constexpr int threads = 256;
};

template <class T>
struct NoiseParams {
  std::uint64_t seed, first;
  float scale;
  VectorView<T> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    normal_kernel(NoiseParams<typename Policy::Element> params) {
  const index_t i = index_t{blockIdx.x} * Policy::threads + threadIdx.x;
  if (i < params.out.size)
    params.out[i] = typename Policy::Element(
        params.scale * unit_normal(params.seed, params.first + static_cast<std::uint64_t>(i)));
}

/// See the host's fill_normal. Runs on device.stream.
template <Element T>
void fill_normal(Device device, std::uint64_t seed, std::uint64_t first, float scale, VectorView<T> out) {
  require_data("fill_normal", "out", out);
  if (out.size == 0) return;
  using Policy = NoisePolicy<T>;
  const auto blocks = (out.size + Policy::threads - 1) / Policy::threads;
  launch({.grid = grid_blocks("fill_normal", blocks), .block = Policy::threads, .stream = device.stream},
         normal_kernel<Policy>, NoiseParams<T>{seed, first, scale, out});
}

}  // namespace stepvideo
