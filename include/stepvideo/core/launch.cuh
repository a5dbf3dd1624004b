// The one door to the GPU.
#pragma once
#include <cuda_runtime.h>

#include <stepvideo/core/check.cuh>

namespace stepvideo {

/// A launch's shape. `grid` and `block` count blocks and threads; `shared_bytes` is dynamic shared memory.
struct Launch {
  dim3 grid = 1;
  dim3 block = 256;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

/// Launches `kernel(params)`. A kernel takes one struct of parameters, by value. Throws Error where the
/// launch is refused.
///     launch({.grid = rows, .block = 256, .stream = stream}, rms_norm_kernel<Policy>, params);
template <class Params>
void launch(const Launch& shape, void (*kernel)(Params), const Params& params,
            std::source_location at = std::source_location::current()) {
  // Blocks get more than 48 KiB only when the kernel says so beforehand.
  if (shape.shared_bytes > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared_bytes)),
          at);
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  check(cudaLaunchKernelEx(&config, kernel, params), at);
}

}  // namespace stepvideo
