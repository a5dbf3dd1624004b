// The one door to the GPU.
#pragma once
#include <algorithm>

#include <cuda_runtime.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/device.cuh>
#include <stepvideo/core/source_place.hpp>

namespace stepvideo {

namespace detail {

/// check(), with what helps where the program has no machine code or PTX that the GPU runs.
inline void check_launch(cudaError_t status, SourcePlace at) {
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
      status == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    const auto attribute = [](cudaDeviceAttr of) {
      int current = 0, value = 0;
      cudaGetDevice(&current);
      cudaDeviceGetAttribute(&value, of, current);
      return std::to_string(value);
    };
    throw Error("this program holds no code that runs on the current GPU, of compute capability " +
                attribute(cudaDevAttrComputeCapabilityMajor) + "." +
                attribute(cudaDevAttrComputeCapabilityMinor) +
                "; compile it for that one (CMAKE_CUDA_ARCHITECTURES, or nvcc's -gencode), or with newer "
                "PTX a newer driver helps");
  }
  check(status, at);
}

}  // namespace detail

/// A launch's shape. `grid` and `block` count blocks and threads; `shared_bytes` is dynamic shared memory.
struct Launch {
  dim3 grid = 1;
  dim3 block = 256;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

/// How many blocks that stay on their multiprocessors, one on each, share so many pieces of work, where some
/// of the current device's multiprocessors are left to others.
inline unsigned resident_blocks(int work, int spare_multiprocessors = 0) {
  const int own = device_attribute(cudaDevAttrMultiProcessorCount) - spare_multiprocessors;
  return static_cast<unsigned>(std::min(work, std::max(own, 1)));
}

/// Launches `kernel(params)`. A kernel takes one struct of parameters, by value. Throws Error where the
/// launch is refused, in words where the program was not compiled for the GPU.
///     launch({.grid = rows, .block = 256, .stream = stream}, rms_norm_kernel<Policy>, params);
template <class Params>
void launch(const Launch& shape, void (*kernel)(Params), const Params& params,
            SourcePlace at = SourcePlace::here()) {
  // Blocks get more than 48 KiB only when the kernel says so beforehand; what it declares itself counts, too.
  constexpr std::size_t surely_allowed = 40 * 1024;
  if (shape.shared_bytes > surely_allowed)
    detail::check_launch(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shape.shared_bytes)),
                         at);
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  detail::check_launch(cudaLaunchKernelEx(&config, kernel, params), at);
}

}  // namespace stepvideo
