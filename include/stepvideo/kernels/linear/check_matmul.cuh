// check() for what cuBLASLt returns.
#pragma once
#include <string>

#include <cublasLt.h>

#include <stepvideo/core/check.cuh>

namespace stepvideo {

/// Throws Error with cuBLASLt's name for the failure and the place of the call; clears CUDA's own error.
inline void check(cublasStatus_t status, SourcePlace at = SourcePlace::here()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  cudaGetLastError();
  throw Error(std::string("cuBLASLt failed with ") + cublasLtGetStatusName(status) + " (" +
              cublasLtGetStatusString(status) + ") at " + at.file + ":" + std::to_string(at.line));
}

}  // namespace stepvideo
