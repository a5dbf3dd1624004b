// A GPU's fences: see fence.hpp.
#pragma once
#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/gpu_event.cuh>

#include "model/fence.hpp"

namespace stepvideo::model {

template <>
class Fence<Device> {
 public:
  void set(Device device) { event_.record(device); }
  /// Without a set() before it waits for nothing.
  void wait(Device device) { event_.wait(device); }
  /// The host waits.
  void finish() { event_.wait_quietly(); }

 private:
  GpuEvent event_;
};

/// By events in the stream: of the last two waits the time is known once they are over.
template <>
class Stalls<Device> {
 public:
  void begin(Device device) {
    take(pairs_[next_]);
    pairs_[next_].begin.record(device);
  }
  void end(Device device) {
    pairs_[next_].end.record(device);
    pairs_[next_].is_open = true;
    next_ = 1 - next_;
  }
  double seconds() {
    for (Pair& pair : pairs_) take(pair);
    return seconds_;
  }

 private:
  struct Pair {
    GpuEvent begin{EventTime::noted}, end{EventTime::noted};
    bool is_open = false;
  };

  void take(Pair& pair) {
    if (!pair.is_open) return;
    pair.end.wait();
    seconds_ += pair.end.seconds_since(pair.begin);
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
