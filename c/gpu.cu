// What the boundary asks of CUDA's runtime.
#include <string>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/error.hpp>

#include "boundary.hpp"

namespace stepvideo::c_abi {

CurrentGpu::CurrentGpu(const char* call, int ordinal) {
  int gpus = 0;
  const cudaError_t status = cudaGetDeviceCount(&gpus);
  if (status != cudaSuccess) {
    cudaGetLastError();
    throw Error(std::string(call) + ": a GPU was asked for and CUDA finds none (" +
                cudaGetErrorString(status) + "); the CPU works");
  }
  require(ordinal >= 0 && ordinal < gpus, [&] {
    return std::string(call) + ": GPU " + std::to_string(ordinal) + " was asked for and this machine has " +
           std::to_string(gpus) + ", which count from 0";
  });
  check(cudaGetDevice(&before_));
  check(cudaSetDevice(ordinal));
}

CurrentGpu::~CurrentGpu() {
  cudaSetDevice(before_);
}

Place current_place() {
  int current = 0;
  check(cudaGetDevice(&current));
  return {.gpu = current};
}

void require_memory_of_gpu(const char* call, const char* name, const void* data, int gpu) {
  cudaPointerAttributes memory{};
  check(cudaPointerGetAttributes(&memory, data));
  const auto says = [&](const std::string& where) {
    return std::string(call) + ": the tensor " + name + " lies in the memory of " + where +
           " and the call runs on GPU " + std::to_string(gpu) + "; memory of that GPU works";
  };
  int reads_everything = 0;
  if (memory.type == cudaMemoryTypeUnregistered)
    check(cudaDeviceGetAttribute(&reads_everything, cudaDevAttrPageableMemoryAccess, gpu));
  require(memory.type != cudaMemoryTypeUnregistered || reads_everything != 0,
          [&] { return says("the host"); });
  require(memory.type != cudaMemoryTypeDevice || memory.device == gpu,
          [&] { return says("GPU " + std::to_string(memory.device)); });
}

void wait_for_gpu(int ordinal) noexcept {
  int before = 0;
  cudaGetDevice(&before);
  cudaSetDevice(ordinal);
  cudaDeviceSynchronize();
  cudaSetDevice(before);
}

}  // namespace stepvideo::c_abi
