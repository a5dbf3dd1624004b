// Memory of a GPU, behind the calls that Buffer makes, and copies to and from it.
#pragma once
#include <cuda_runtime_api.h>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/check.cuh>

namespace stepvideo {

/// Uninitialised memory of the current device, allocated in stream order. Throws Error when there is none.
inline void* allocate_bytes(Device device, std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocAsync(&memory, bytes, device.stream));
  return memory;
}
inline void release_bytes(Device device, void* memory) noexcept {
  cudaFreeAsync(memory, device.stream);
}

/// Copies between equal sizes, in stream order. Host memory that is not pinned makes the copy synchronous.
template <class T, Execution From, Execution To>
void copy(const Buffer<T, From>& from, const Buffer<T, To>& to, Device device) {
  require(from.size() == to.size(), [&] {
    return "a copy of " + std::to_string(from.size()) + " elements does not fit a buffer of " +
           std::to_string(to.size());
  });
  check(cudaMemcpyAsync(to.data(), from.data(), from.size_bytes(), cudaMemcpyDefault, device.stream));
}

/// A figure of the current device.
inline int device_attribute(cudaDeviceAttr attribute) {
  int current = 0, value = 0;
  check(cudaGetDevice(&current));
  check(cudaDeviceGetAttribute(&value, attribute, current));
  return value;
}

/// Waits for everything the stream was given.
inline void synchronize(Device device) {
  check(cudaStreamSynchronize(device.stream));
}

}  // namespace stepvideo
