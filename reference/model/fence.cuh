// A GPU's fences: see fence.hpp.
#pragma once
#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>

#include "model/fence.hpp"

namespace stepvideo::model {

template <>
class Fence<Device> {
 public:
  Fence() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync)); }
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;
  ~Fence() { cudaEventDestroy(event_); }

  void set(Device device) { check(cudaEventRecord(event_, device.stream)); }
  /// Without a set() before it waits for nothing.
  void wait(Device device) { check(cudaStreamWaitEvent(device.stream, event_)); }
  /// The host waits.
  void finish() { cudaEventSynchronize(event_); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// By events in the stream: of the last two waits the time is known once they are over.
template <>
class Stalls<Device> {
 public:
  Stalls() {
    for (Pair& pair : pairs_)
      for (cudaEvent_t* const event : {&pair.begin, &pair.end})
        check(cudaEventCreateWithFlags(event, cudaEventBlockingSync));
  }
  Stalls(const Stalls&) = delete;
  Stalls& operator=(const Stalls&) = delete;
  ~Stalls() {
    for (const Pair& pair : pairs_) cudaEventDestroy(pair.begin), cudaEventDestroy(pair.end);
  }

  void begin(Device device) {
    take(pairs_[next_]);
    check(cudaEventRecord(pairs_[next_].begin, device.stream));
  }
  void end(Device device) {
    check(cudaEventRecord(pairs_[next_].end, device.stream));
    pairs_[next_].is_open = true;
    next_ = 1 - next_;
  }
  double seconds() {
    for (Pair& pair : pairs_) take(pair);
    return seconds_;
  }

 private:
  struct Pair {
    cudaEvent_t begin = nullptr, end = nullptr;
    bool is_open = false;
  };

  void take(Pair& pair) {
    if (!pair.is_open) return;
    float milliseconds = 0;
    check(cudaEventSynchronize(pair.end));
    check(cudaEventElapsedTime(&milliseconds, pair.begin, pair.end));
    seconds_ += 1e-3 * milliseconds;
    pair.is_open = false;
  }

  Pair pairs_[2];
  int next_ = 0;
  double seconds_ = 0;
};

inline auto device_binder(Device) {
  int ordinal = 0;
  check(cudaGetDevice(&ordinal));
  return [ordinal] { check(cudaSetDevice(ordinal)); };
}

}  // namespace stepvideo::model
