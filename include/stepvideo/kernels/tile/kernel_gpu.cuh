// The GPU at hand, as the rules judge it that choose a kernel's form.
#pragma once
#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/tile/kernel_gpu.hpp>

namespace stepvideo {

/// The current device.
inline KernelGpu kernel_gpu() {
  return {.compute_capability = 10 * device_attribute(cudaDevAttrComputeCapabilityMajor) +
                                device_attribute(cudaDevAttrComputeCapabilityMinor)};
}

/// The same, and whether the program holds code for it of a `kernel` of warpgroups whose blocks have
/// `threads` threads: compiled for another GPU such a kernel is empty and admits no block so large.
template <class Params>
KernelGpu kernel_gpu(void (*kernel)(Params), int threads) {
  KernelGpu gpu = kernel_gpu();
  if (gpu.compute_capability / 10 != 9) return gpu;
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel));
  gpu.has_code_for_warpgroups = attributes.maxThreadsPerBlock >= threads;
  return gpu;
}

}  // namespace stepvideo
