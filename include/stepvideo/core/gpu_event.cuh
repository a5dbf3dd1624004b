// One owner for an event of a GPU.
#pragma once
#include <utility>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

/// Whether an event notes when it was reached: without, recording it costs a stream the least.
enum class EventTime { none, noted };

/// A place in a stream, of the GPU that is current when this is made. A thread that waits for it sleeps.
class GpuEvent {
 public:
  explicit GpuEvent(EventTime time = EventTime::none) {
    check(cudaEventCreateWithFlags(
        &event_, cudaEventBlockingSync | (time == EventTime::none ? cudaEventDisableTiming : 0u)));
  }
  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;
  ~GpuEvent() { cudaEventDestroy(event_); }

  /// From now on this is the place that the stream has come to, behind what it was given.
  void record(Device device) { check(cudaEventRecord(event_, device.stream)); }
  /// What the stream is given from now on waits for it. An event that was never recorded has been reached.
  void wait(Device device) const { check(cudaStreamWaitEvent(device.stream, event_)); }
  /// The host waits.
  void wait() const { check(cudaEventSynchronize(event_)); }
  /// The same where a failure is somebody else's to tell: in destructors.
  void wait_quietly() const noexcept { cudaEventSynchronize(event_); }
  bool is_reached() const {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) return false;
    check(status);
    return true;
  }
  /// From another event to this, both reached, of one GPU and with EventTime::noted.
  double seconds_since(const GpuEvent& first) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, first.event_, event_));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace stepvideo
