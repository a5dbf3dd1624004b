// GPUs of one process, or ranks that share one: copies from memory to memory.
#pragma once
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/comm/device_wire.hpp>
#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/core/check.cuh>
#include <stepvideo/core/gpu_event.cuh>

namespace stepvideo {

/// Each rank is a thread and fetches what it receives, by copies in its own stream: between GPUs their copy
/// engines move it, and no multiprocessor takes part. Streams wait for each other by events that have been
/// recorded when they are waited for, so that a rank which fails keeps no GPU waiting. Every GPU must
/// Gpu::reach() the others.
class PeerWire final : public DeviceWire {
 public:
  /// `end` is the rank's and outlives this; its GPU is the calling thread's current one.
  explicit PeerWire(ThreadCommunicator& end) : end_(end) {}

  std::string name() const override { return "copies between GPUs"; }

  void exchange(Device device, const Group& group, std::span<const SentRun> sent,
                std::span<const ReceivedRun> received, bool) override {
    const auto me = static_cast<std::size_t>(group.member(end_.rank()));
    ready_.record(device);
    const Offer offer{sent, &ready_, &done_};
    Arrival arrival{.op = "exchange", .element_bytes = 1};
    arrival.send = &offer;
    std::vector<const GpuEvent*> readers;
    end_.meet(group, arrival, [&](std::span<const Arrival> members) {
      const auto offer_of = [&](std::size_t member) -> const Offer& {
        return *static_cast<const Offer*>(members[member].send);
      };
      // From the next member on: not all of them fetch from one at the same time.
      for (std::size_t i = 0; i < members.size(); ++i) {
        const std::size_t member = (me + i) % members.size();
        const Offer& from = offer_of(member);
        const SentRun& run = from.sent[me];
        if (run.bytes != received[member].bytes)
          throw Error("exchange of " + to_string(group) + ": rank " + std::to_string(end_.rank()) +
                      " expects " + std::to_string(received[member].bytes) + " bytes of rank " +
                      std::to_string(group.rank(static_cast<int>(member))) + ", which sends " +
                      std::to_string(run.bytes) + "; they must agree");
        if (run.bytes == 0) continue;
        if (member != me) from.ready->wait(device);
        check(cudaMemcpyAsync(received[member].data, run.data, run.bytes, cudaMemcpyDefault, device.stream));
      }
      done_.record(device);
      for (std::size_t member = 0; member < members.size(); ++member)
        if (member != me && sent[member].bytes > 0) readers.push_back(offer_of(member).done);
    });
    // All have recorded theirs. One that is recorded anew meanwhile is waited for the longer; what it waits
    // for was given before, so that no two streams wait for each other.
    for (const GpuEvent* const reader : readers) reader->wait(device);
  }
  void require_works() override {}
  void finish() override {}
  void abort() noexcept override {}  // every event that is waited for has been recorded

 private:
  /// What a rank shows the others while they meet.
  struct Offer {
    std::span<const SentRun> sent;
    const GpuEvent *ready, *done;
  };

  ThreadCommunicator& end_;
  GpuEvent ready_, done_;
};

}  // namespace stepvideo
