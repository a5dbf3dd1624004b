// A GPU's decoded frames on their way to the host: see frames_to_host.hpp.
#pragma once
#include <array>
#include <cstddef>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/pinned.cuh>

#include "model/frames_to_host.hpp"

namespace stepvideo::model {

/// Two chunks of pinned memory: one is filled behind the work on a chunk while the host reads the one before.
template <>
class FramesToHost<Device> {
 public:
  explicit FramesToHost(Device device) : stream_(device.stream) {
    for (Slot& slot : slots_)
      check(cudaEventCreateWithFlags(&slot.is_there, cudaEventDisableTiming | cudaEventBlockingSync));
  }
  FramesToHost(const FramesToHost&) = delete;
  FramesToHost& operator=(const FramesToHost&) = delete;
  ~FramesToHost() {
    cudaStreamSynchronize(stream_);  // before the memory ends that is copied into
    for (const Slot& slot : slots_) cudaEventDestroy(slot.is_there);
  }

  template <class Deliver>
  void pass(VideoView<float> chunk, bool is_last, const Deliver& deliver) {
    Slot &now = slots_[next_], &before = slots_[1 - next_];
    next_ = 1 - next_;
    if (now.memory.size() < chunk.size()) now.memory = PinnedBuffer<float>(chunk.size());
    now.frames = chunk;
    now.frames.data = now.memory.data();
    check(cudaMemcpyAsync(now.frames.data, chunk.data, static_cast<std::size_t>(chunk.size()) * sizeof(float),
                          cudaMemcpyDeviceToHost, stream_));
    check(cudaEventRecord(now.is_there, stream_));
    if (before.frames.frames > 0) deliver_from(before, false, deliver);
    if (is_last) deliver_from(now, true, deliver);
  }

 private:
  struct Slot {
    PinnedBuffer<float> memory;
    VideoView<float> frames{};
    cudaEvent_t is_there = nullptr;
  };

  template <class Deliver>
  void deliver_from(Slot& slot, bool is_last, const Deliver& deliver) {
    check(cudaEventSynchronize(slot.is_there));
    deliver(slot.frames, is_last);
    slot.frames.frames = 0;
  }

  cudaStream_t stream_;
  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
};

}  // namespace stepvideo::model
