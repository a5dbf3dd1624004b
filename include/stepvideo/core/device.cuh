// Memory of a GPU, behind the calls that Buffer makes, and copies to and from it.
#pragma once
#include <string>

#include <cuda_runtime_api.h>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/check.cuh>

namespace stepvideo {

/// Uninitialised memory of the stream's device, allocated in stream order. Throws Error when there is none.
inline void* allocate_bytes(Device device, std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocAsync(&memory, bytes, device.stream);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error("out of memory: " + std::to_string(bytes) + " bytes were asked of the GPU");
  }
  check(status);
  return memory;
}

/// In stream order, on the device that owns the memory, whichever is current.
inline void release_bytes(Device device, void* memory) noexcept {
  int current = 0;
  cudaPointerAttributes owner{};
  // A stream knows its device; only the null stream is whichever device's is current.
  const bool is_elsewhere = device.stream == nullptr && cudaGetDevice(&current) == cudaSuccess &&
                            cudaPointerGetAttributes(&owner, memory) == cudaSuccess &&
                            owner.device != current;
  if (is_elsewhere) cudaSetDevice(owner.device);
  cudaFreeAsync(memory, device.stream);
  if (is_elsewhere) cudaSetDevice(current);
}

/// Copies between equal sizes, in stream order. Host memory that is not pinned makes the copy synchronous.
template <class T, Execution From, Execution To>
void copy(Device device, const Buffer<T, From>& from, const Buffer<T, To>& to) {
  require_copy_fits(from.size(), to.size());
  check(cudaMemcpyAsync(to.data(), from.data(), from.size_bytes(), cudaMemcpyDefault, device.stream));
}

/// Copies within device memory, in stream order.
template <class T>
void copy(Device device, VectorView<const T> from, VectorView<T> to) {
  require_copy_fits(from.size, to.size);
  check(cudaMemcpyAsync(to.data, from.data, static_cast<std::size_t>(from.size) * sizeof(T),
                        cudaMemcpyDeviceToDevice, device.stream));
}

/// Values of the host to device memory, in stream order; the host's may be used again when this returns.
template <class T>
void upload(Device device, const T* from, VectorView<T> to) {
  check(cudaMemcpyAsync(to.data, from, static_cast<std::size_t>(to.size) * sizeof(T), cudaMemcpyHostToDevice,
                        device.stream));
  check(cudaStreamSynchronize(device.stream));
}

/// Values of device memory to the host, once the stream has come so far; they are there when this returns.
template <class T>
void download(Device device, VectorView<T> from, std::remove_const_t<T>* to) {
  check(cudaMemcpyAsync(to, from.data, static_cast<std::size_t>(from.size) * sizeof(T),
                        cudaMemcpyDeviceToHost, device.stream));
  check(cudaStreamSynchronize(device.stream));
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
