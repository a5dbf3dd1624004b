// One check for everything that CUDA returns.
#pragma once
#include <string>

#include <cuda_runtime_api.h>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/nvcc.cuh>
#include <stepvideo/core/source_place.hpp>

namespace stepvideo {

/// Throws Error with CUDA's name for the failure and the place of the call; clears the error, so that a
/// later call is not blamed for it.
inline void check(cudaError_t status, SourcePlace at = SourcePlace::here()) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw Error(std::string("CUDA failed with ") + cudaGetErrorName(status) + " (" +
              cudaGetErrorString(status) + ") at " + at.file + ":" + std::to_string(at.line));
}

}  // namespace stepvideo
