// The count of NaN and infinities on the GPU, behind the same call as on the CPU.
#pragma once
#include <cuda/std/functional>

#include <cub/device/device_reduce.cuh>

#include <stepvideo/core/check.cuh>
#include <stepvideo/kernels/sampler/count_non_finite.hpp>

namespace stepvideo {

namespace detail {

/// CUB's call: without memory it says in `bytes` how much it needs.
template <class T>
void reduce_non_finite(Device device, void* memory, std::size_t& bytes, VectorView<const T> values,
                       std::uint64_t* count) {
  check(cub::DeviceReduce::TransformReduce(memory, bytes, values.data, count, values.size,
                                           ::cuda::std::plus<>{}, NonFinite{}, std::uint64_t{0},
                                           device.stream));
}

}  // namespace detail

/// Asks CUDA about the current device.
template <Element T>
std::size_t count_non_finite_workspace(Device device, index_t size) {
  std::size_t bytes = 0;
  detail::reduce_non_finite<T>(device, nullptr, bytes, {nullptr, size}, nullptr);
  return workspace_bytes<std::byte>(static_cast<index_t>(bytes));
}

/// See the host's. `count` lies in device memory, or in pinned memory of the host, which can read it as soon
/// as the stream has come so far. Runs on device.stream.
template <Element T>
void count_non_finite(Device device, std::type_identity_t<VectorView<const T>> values, std::uint64_t* count,
                      Workspace workspace) {
  auto bytes = count_non_finite_workspace<T>(device, values.size);
  void* const memory = workspace.take<std::byte>(static_cast<index_t>(bytes));
  detail::reduce_non_finite<T>(device, memory, bytes, values, count);
}

}  // namespace stepvideo
