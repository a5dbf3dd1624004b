// A GPU's decoded chunks on their way to the host: see frames_to_host.hpp.
#pragma once
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/pinned.cuh>

#include "model/frames_to_host.hpp"

namespace stepvideo::model {

/// Two chunks in pinned memory, which the GPU's kernels write by themselves: one is filled behind the work on
/// a chunk while the host reads the one before.
template <>
class FramesToHost<Device> {
 public:
  FramesToHost(Device device, const DecodedChunkRooms& rooms)
      : rooms_(rooms), bytes_(static_cast<index_t>(rooms.most_bytes())), stream_(device.stream) {
    for (Slot& slot : slots_)
      check(cudaEventCreateWithFlags(&slot.is_there, cudaEventDisableTiming | cudaEventBlockingSync));
  }
  FramesToHost(const FramesToHost&) = delete;
  FramesToHost& operator=(const FramesToHost&) = delete;
  ~FramesToHost() {
    cudaStreamSynchronize(stream_);  // before the memory ends that is written to
    for (const Slot& slot : slots_) cudaEventDestroy(slot.is_there);
  }

  template <class Fill, class Deliver>
  void pass(int number, bool is_last, const Fill& fill, const Deliver& deliver) {
    Slot &now = slots_[next_], &before = slots_[1 - next_];
    next_ = 1 - next_;
    if (now.memory.size() == 0) now.memory = PinnedBuffer<std::uint8_t>(bytes_);
    now.chunk = rooms_.lay_out(number, now.memory.data());
    fill(*now.chunk);
    check(cudaEventRecord(now.is_there, stream_));
    if (before.chunk) deliver_from(before, deliver);
    if (is_last) deliver_from(now, deliver);
  }

 private:
  struct Slot {
    PinnedBuffer<std::uint8_t> memory;
    std::optional<DecodedChunk> chunk;  ///< until it is delivered
    cudaEvent_t is_there = nullptr;
  };

  template <class Deliver>
  void deliver_from(Slot& slot, const Deliver& deliver) {
    check(cudaEventSynchronize(slot.is_there));
    deliver(*std::exchange(slot.chunk, std::nullopt));
  }

  DecodedChunkRooms rooms_;
  index_t bytes_;
  cudaStream_t stream_;
  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
};

}  // namespace stepvideo::model
