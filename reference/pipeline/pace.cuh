// A GPU's pace and the room in its memory: see pace.hpp and memory.hpp.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>

#include "pipeline/pace.hpp"

namespace stepvideo::pipeline {

template <>
class Pace<Device> {
 public:
  explicit Pace(Device device) : stream_(device.stream) {
    // Waiting by sleeping: a block takes a third of a second at full size, and the host has other work.
    for (cudaEvent_t& event : done_)
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync));
  }
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;
  ~Pace() {
    for (const cudaEvent_t event : done_) cudaEventDestroy(event);
  }

  void keep() {
    check(cudaEventRecord(done_[next_], stream_));
    next_ = (next_ + 1) % done_.size();
    check(cudaEventSynchronize(done_[next_]));  // of two pieces ago; one that was never recorded is done
  }

 private:
  cudaStream_t stream_;
  std::array<cudaEvent_t, 3> done_{};
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
