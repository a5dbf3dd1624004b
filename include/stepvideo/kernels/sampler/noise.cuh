// Unit normal noise on the GPU: the same bits as on the CPU.
#pragma once
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/sampler/noise.hpp>

namespace stepvideo {

/// One element a thread: the time goes into philox and the logarithm, not into memory.
struct NoisePolicy {
  static constexpr int threads = 256;
};

struct NoiseParams {
  std::uint64_t seed, first;
  VectorView<float> out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) unit_normal_kernel(NoiseParams params) {
  const index_t i = index_t{blockIdx.x} * Policy::threads + threadIdx.x;
  if (i < params.out.size)
    params.out[i] = unit_normal(params.seed, params.first + static_cast<std::uint64_t>(i));
}

/// See the host's fill_unit_normal. Runs on device.stream.
inline void fill_unit_normal(Device device, std::uint64_t seed, std::uint64_t first, VectorView<float> out) {
  if (out.size == 0) return;
  const auto blocks = (out.size + NoisePolicy::threads - 1) / NoisePolicy::threads;
  launch(
      {.grid = dim3(static_cast<unsigned>(blocks)), .block = NoisePolicy::threads, .stream = device.stream},
      unit_normal_kernel<NoisePolicy>, NoiseParams{seed, first, out});
}

}  // namespace stepvideo
