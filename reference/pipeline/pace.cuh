// A GPU's pace and the room in its memory: see pace.hpp and memory.hpp.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/gpu_event.cuh>

#include "pipeline/pace.hpp"

namespace stepvideo::pipeline {

template <>
class Pace<Device> {
 public:
  explicit Pace(Device device) : device_(device) {}

  /// `wait(an event)` returns when it is reached.
  template <class Wait>
  void keep(Wait&& wait) {
    done_[next_].record(device_);
    next_ = (next_ + 1) % done_.size();
    wait(done_[next_]);  // of two pieces ago; one that was never recorded is reached
  }

 private:
  Device device_;
  std::array<GpuEvent, 3> done_;
  std::size_t next_ = 0;
};

/// What the GPU's memory has room for now: what is free, and what its pool keeps of buffers that ended.
inline std::size_t available_memory_bytes(Device) {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  int ordinal = 0;
  check(cudaGetDevice(&ordinal));
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetMemPool(&pool, ordinal));
  std::uint64_t reserved = 0, used = 0;
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  return free + static_cast<std::size_t>(reserved - used);
}

}  // namespace stepvideo::pipeline
