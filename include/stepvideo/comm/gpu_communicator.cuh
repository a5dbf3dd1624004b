// Ranks whose data lies on GPUs: words go over their hosts, data over a wire between the GPUs.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <stepvideo/comm/device_wire.hpp>
#include <stepvideo/comm/exchange_communicator.hpp>
#include <stepvideo/comm/flight_recorder.hpp>
#include <stepvideo/comm/rank_words.hpp>
#include <stepvideo/core/device.cuh>
#include <stepvideo/core/gpu_event.cuh>
#include <stepvideo/kernels/elementwise/sum_parts.cuh>

namespace stepvideo {

/// Members agree on their hosts before data moves, so that disagreement is seen and named there: a GPU that
/// waits for what nobody sends can only be given up.
class GpuExchange {
 public:
  using ExecutionType = Device;

  /// Both outlive this.
  GpuExchange(RankWords& words, DeviceWire& wire) : words_(words), wire_(wire) {}

  int rank() const { return words_.rank(); }
  int ranks() const { return words_.ranks(); }
  RankWords& words() const { return words_; }
  DeviceWire& wire() const { return wire_; }

  void meet(const Group& group, const Arrival& arrival) { are_even_ = words_.meet(group, arrival); }

  void exchange(Device device, const Group& group, std::span<SentRun> sent, std::span<ReceivedRun> received) {
    const auto me = static_cast<std::size_t>(group.member(rank()));
    const bool are_even = std::exchange(are_even_, false);
    if (!are_even) {
      if (sent[me].bytes > 0 && sent[me].data != received[me].data)
        check(cudaMemcpyAsync(received[me].data, sent[me].data, sent[me].bytes, cudaMemcpyDeviceToDevice,
                              device.stream));
      sent[me] = {}, received[me] = {};
    }
    if (group.size > 1) wire_.exchange(device, group, sent, received, are_even);
  }

 private:
  RankWords& words_;
  DeviceWire& wire_;
  bool are_even_ = false;  ///< what the members have agreed to exchange next
};

namespace comm_detail {

/// Events that note when a stream came to them, on the clock of the host. For any thread.
class EventMarks {
 public:
  /// `device` belongs to the calling thread's current GPU.
  explicit EventMarks(Device device) : shared_(std::make_shared<Shared>()) {
    shared_->base.record(device);
    shared_->base.wait();
    shared_->base_time = FlightClock::now();
  }

  std::unique_ptr<FlightMark> set(Device device) const {
    auto mark = std::make_unique<Mark>(shared_, shared_->take());
    mark->event->record(device);
    return mark;
  }

 private:
  struct Shared {
    GpuEvent base{EventTime::noted};
    FlightClock::time_point base_time;
    std::mutex mutex;
    std::vector<std::unique_ptr<GpuEvent>> free;

    std::unique_ptr<GpuEvent> take() {
      const std::lock_guard lock(mutex);
      if (free.empty()) return std::make_unique<GpuEvent>(EventTime::noted);
      std::unique_ptr<GpuEvent> event = std::move(free.back());
      free.pop_back();
      return event;
    }
    void give_back(std::unique_ptr<GpuEvent> event) {
      const std::lock_guard lock(mutex);
      free.push_back(std::move(event));
    }
  };

  struct Mark final : FlightMark {
    Mark(std::shared_ptr<Shared> of, std::unique_ptr<GpuEvent> at)
        : shared(std::move(of)), event(std::move(at)) {}
    ~Mark() override { shared->give_back(std::move(event)); }

    std::optional<FlightClock::time_point> reached() override {
      if (!event->is_reached()) return {};
      return shared->base_time + std::chrono::duration_cast<FlightClock::duration>(
                                     std::chrono::duration<double>(event->seconds_since(shared->base)));
    }

    std::shared_ptr<Shared> shared;
    std::unique_ptr<GpuEvent> event;
  };

  std::shared_ptr<Shared> shared_;
};

}  // namespace comm_detail

/// A rank's collectives, whose data lies in the memory of its GPU, in the order of the stream that each is
/// given: the host goes on at once. Small values of the host take the same calls with Host, by words.
///     ThreadCommunicator end(meetings, rank);
///     WordsOver words(end);
///     PeerWire wire(end, gpu.compute());
///     GpuCommunicator communicator(words, wire, gpu.compute());
class GpuCommunicator : public ExchangeCommunicator<GpuExchange> {
 public:
  /// `device` is a stream of the calling thread's current GPU; words and wire outlive this.
  GpuCommunicator(RankWords& words, DeviceWire& wire, Device device)
      : ExchangeCommunicator(words, wire), marks_(device) {}

  using ExchangeCommunicator::all_gather;
  using ExchangeCommunicator::all_reduce;
  using ExchangeCommunicator::broadcast;

  template <Summable T>
  void all_reduce(Host, const Group& group, VectorView<T> values) {
    const std::vector<T> all = gathered(group, VectorView<const T>(values));
    for (index_t i = 0; i < values.size; ++i)
      values[i] = sum_in_order<T>(static_cast<std::size_t>(group.size), [&](std::size_t member) {
        return all[member * static_cast<std::size_t>(values.size) + static_cast<std::size_t>(i)];
      });
  }
  template <Movable T>
  void broadcast(Host, const Group& group, VectorView<T> values, int root) {
    require_root("broadcast", group, root);
    const std::vector<T> all = gathered(group, VectorView<const T>(values));
    std::copy_n(all.begin() + root * values.size, values.size, values.data);
  }
  /// Of equal counts.
  template <Movable T>
  void all_gather(Host, const Group& group, std::type_identity_t<VectorView<const T>> mine, Counts counts,
                  VectorView<T> all) {
    require_counts("all_gather", "all", group, counts, all.size);
    require(std::ranges::all_of(counts, [&](index_t count) { return count == mine.size; }),
            "all_gather on the hosts of GPUs: its counts differ; equal ones work");
    std::ranges::copy(gathered(group, mine), all.data);
  }

  /// A place in the stream that a FlightRecorder can look at.
  std::unique_ptr<FlightMark> mark(Device device) const { return marks_.set(device); }

  /// Returns when the stream has done what it was given. Throws RankLost where another rank fails meanwhile,
  /// and Error where the wire does; then its work may never end, and abort() lets it.
  void settle(Device device) {
    end_.record(device);
    wait([&] { return end_.is_reached(); });
  }
  /// The same until `is_done()`.
  template <class IsDone>
  void wait(IsDone&& is_done) {
    using namespace std::chrono_literals;
    for (std::chrono::microseconds pause = 20us; !is_done(); pause = std::min(2 * pause, 1000us)) {
      exchanger().words().require_all_well();
      exchanger().wire().require_works();
      std::this_thread::sleep_for(pause);
    }
  }
  /// See DeviceWire.
  void finish() { exchanger().wire().finish(); }
  void abort() noexcept { exchanger().wire().abort(); }

 private:
  /// Every member's values, in their order.
  template <class T>
  std::vector<T> gathered(const Group& group, VectorView<const T> mine) {
    std::vector<T> all(static_cast<std::size_t>(group.size * mine.size));
    exchanger().words().gather(group,
                               std::as_bytes(std::span(mine.data, static_cast<std::size_t>(mine.size))),
                               std::as_writable_bytes(std::span(all)));
    return all;
  }

  comm_detail::EventMarks marks_;
  GpuEvent end_;
};
static_assert(Communicator<GpuCommunicator>);

}  // namespace stepvideo
