// An upload's slots in pinned memory.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/pinned.cuh>

#include "io/upload.hpp"

namespace stepvideo::io {

/// Four slots, one being filled while others are on their way. Allocated once, for the current device.
class PinnedSlots final : public UploadSlots {
 public:
  static constexpr index_t smallest_slot = index_t{1} << 20;

  /// Slots of `slot_bytes`; of half as much, and again, where the system pins no more. Throws Error where it
  /// pins not even 4 MiB.
  explicit PinnedSlots(index_t slot_bytes = UploadPolicy{}.slot_bytes)
      : memory_(as_much_as_possible(slot_bytes)), events_(slots) {}

  int count() const override { return slots; }
  std::size_t slot_bytes() const override { return static_cast<std::size_t>(memory_.size() / slots); }
  std::byte* claim(int slot) override {
    check(cudaEventSynchronize(events_[static_cast<std::size_t>(slot)].event));
    return memory_.data() + slot * (memory_.size() / slots);
  }
  void send(Device device, const std::byte* from, std::size_t bytes, std::byte* target) override {
    check(cudaMemcpyAsync(target, from, bytes, cudaMemcpyHostToDevice, device.stream));
  }
  void seal(Device device, int slot) override {
    check(cudaEventRecord(events_[static_cast<std::size_t>(slot)].event, device.stream));
  }

 private:
  static constexpr int slots = 4;

  /// Waiting for it leaves the core to the threads that convert.
  struct Event {
    cudaEvent_t event = nullptr;

    Event() { check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync)); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event() {
      cudaEventSynchronize(event);  // copies from the slot may be on their way
      cudaEventDestroy(event);
    }
  };

  static PinnedBuffer<std::byte> as_much_as_possible(index_t slot_bytes) {
    auto memory = largest_allocation(slot_bytes, smallest_slot, [](index_t bytes) {
      return PinnedBuffer<std::byte>::if_possible(slots * bytes);
    });
    if (!memory)
      throw Error(
          "the system pins less than " + std::to_string(slots * smallest_slot) +
          " bytes of memory for copies to the GPU; a larger limit of locked memory (ulimit -l) or more "
          "free memory works");
    return std::move(*memory);
  }

  PinnedBuffer<std::byte> memory_;
  std::vector<Event> events_;  // ends before the memory
};

}  // namespace stepvideo::io
