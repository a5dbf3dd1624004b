// What a rank's collectives did, the latest of them: what a stuck run is judged by.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

using FlightClock = std::chrono::steady_clock;

/// A place in an execution's order of work that the host looks at from time to time, from any thread.
class FlightMark {
 public:
  virtual ~FlightMark() = default;
  /// When the execution came there, once it has.
  virtual std::optional<FlightClock::time_point> reached() = 0;
};

/// One collective of one rank. Flights of the same group with the same `sequence` are one collective.
struct Flight {
  long long number = 0;       ///< of the rank's flights, from 0
  int step = -1, layer = -1;  ///< -1 outside of them
  std::string_view op;        ///< a literal
  Group group;
  long long sequence = 0;            ///< of the group's collectives on this rank, from 0
  std::size_t bytes = 0;             ///< that the rank brings in
  FlightClock::duration deadline{};  ///< after `enqueued`; 0 for none
  FlightClock::time_point enqueued{};
  /// Behind other work of a GPU's, which enters it when it comes there. Without, calling it is entering it.
  bool is_queued = false;
  std::optional<FlightClock::time_point> entered = {};
  /// All members there, which a GPU does not tell; this rank done.
  std::optional<FlightClock::time_point> started = {}, ended = {};

  /// Since when the rank is in it, or waits for what is before it.
  FlightClock::time_point begin() const { return entered.value_or(enqueued); }
};

/// A ring buffer of one rank's flights. The rank writes it, a watcher may read it at any time.
class FlightRecorder {
 public:
  explicit FlightRecorder(std::size_t capacity = 1024) : flights_(capacity) {
    require(capacity > 0, [] { return "a flight recorder of 0 flights; 1 or more works"; });
  }

  /// Where the model is, for the flights that follow.
  void set_place(int step, int layer) {
    const std::lock_guard lock(mutex_);
    step_ = step, layer_ = layer;
  }

  /// Between a rank's steps it may write or draw for as long as that takes: while one is away, no deadline
  /// counts.
  void set_away(bool is_away) { is_away_ = is_away; }
  bool is_away() const { return is_away_; }
  int step() const {
    const std::lock_guard lock(mutex_);
    return step_;
  }

  /// Returns the flight's number. With a mark, the execution enters it there.
  long long enqueue(std::string_view op, const Group& group, std::size_t bytes,
                    FlightClock::duration deadline, std::unique_ptr<FlightMark> entering = nullptr) {
    const std::lock_guard lock(mutex_);
    const long long number = count_++;
    at(number) = {.number = number,
                  .step = step_,
                  .layer = layer_,
                  .op = op,
                  .group = group,
                  .sequence = sequences_[{group.first, group.stride, group.size}]++,
                  .bytes = bytes,
                  .deadline = deadline,
                  .enqueued = FlightClock::now()};
    if (entering != nullptr) {
      at(number).is_queued = true;
      queued_.push_back({number, std::move(entering), nullptr});
    } else {
      at(number).entered = at(number).enqueued;
    }
    return number;
  }
  /// A queued flight ends with this.
  void end_at(long long number, std::unique_ptr<FlightMark> ending) {
    const std::lock_guard lock(mutex_);
    for (Queued& queued : queued_)
      if (queued.number == number) queued.ending = std::move(ending);
    look();
  }
  /// Nothing is queued any more: the execution's work was given up.
  void forget_queued() {
    const std::lock_guard lock(mutex_);
    queued_.clear();
  }
  void end(long long number, FlightClock::time_point started) {
    const std::lock_guard lock(mutex_);
    if (number < count_ - std::ssize(flights_)) return;  // its place has another
    at(number).started = started;
    at(number).ended = FlightClock::now();
  }

  /// Flights so far.
  long long count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  /// The latest flights, oldest first.
  std::vector<Flight> flights() const {
    const std::lock_guard lock(mutex_);
    look();
    std::vector<Flight> latest;
    for (long long number = std::max(0LL, count_ - std::ssize(flights_)); number < count_; ++number)
      latest.push_back(flights_[place_of(number)]);
    return latest;
  }

 private:
  struct Queued {
    long long number;
    std::unique_ptr<FlightMark> entering, ending;
  };

  std::size_t place_of(long long number) const { return static_cast<std::size_t>(number) % flights_.size(); }
  Flight& at(long long number) const { return flights_[place_of(number)]; }

  /// How far the execution has come with what is queued, in its order.
  void look() const {
    while (!queued_.empty()) {
      Queued& next = queued_.front();
      const bool is_kept = next.number >= count_ - std::ssize(flights_);
      Flight passed, &flight = is_kept ? at(next.number) : passed;
      if (!flight.entered) flight.entered = next.entering->reached();
      if (!flight.entered || next.ending == nullptr) return;
      flight.ended = next.ending->reached();
      if (!flight.ended) return;
      flight.started = flight.entered;
      queued_.pop_front();
    }
  }

  std::atomic<bool> is_away_ = false;
  mutable std::mutex mutex_;
  mutable std::vector<Flight> flights_;  // looking at an execution writes down how far it has come
  mutable std::deque<Queued> queued_;
  long long count_ = 0;
  int step_ = -1, layer_ = -1;
  std::map<std::tuple<int, int, int>, long long> sequences_;
};

/// `deadline(op, group, bytes)` is the time after which a collective counts as lost, or 0 for never.
template <class D>
concept CollectiveDeadline = requires(const D& deadline, std::string_view op, const Group& group,
                                      std::size_t bytes) {
  { deadline(op, group, bytes) } -> std::convertible_to<FlightClock::duration>;
};
struct NoDeadline {
  FlightClock::duration operator()(std::string_view, const Group&, std::size_t) const { return {}; }
};

/// A communicator that records its collectives. One that throws stays without an end. Groups of one rank
/// communicate nothing and are not recorded.
template <Communicator C, CollectiveDeadline D = NoDeadline>
class Recorded {
 public:
  using ExecutionType = typename C::ExecutionType;
  using E = ExecutionType;

  /// Both outlive this.
  Recorded(C& communicator, FlightRecorder& recorder, D deadline = {})
      : communicator_(communicator), recorder_(recorder), deadline_(std::move(deadline)) {}

  int rank() const { return communicator_.rank(); }
  int ranks() const { return communicator_.ranks(); }
  FlightRecorder& recorder() const { return recorder_; }

  // A GPU's communicator moves small values of the host, too: X is its execution, or Host.
  template <Execution X, Summable T>
  void all_reduce(X execution, const Group& group, VectorView<T> values) {
    fly<T>("all_reduce", execution, group, values.size,
           [&] { communicator_.all_reduce(execution, group, values); });
  }
  template <Execution X, Movable T>
  void all_gather(X execution, const Group& group, std::type_identity_t<VectorView<const T>> mine,
                  Counts counts, VectorView<T> all) {
    fly<T>("all_gather", execution, group, mine.size,
           [&] { communicator_.all_gather(execution, group, mine, counts, all); });
  }
  template <Summable T>
  void reduce_scatter(E execution, const Group& group, std::type_identity_t<VectorView<const T>> all,
                      Counts counts, VectorView<T> mine) {
    fly<T>("reduce_scatter", execution, group, all.size,
           [&] { communicator_.reduce_scatter(execution, group, all, counts, mine); });
  }
  template <Movable T>
  void all_to_all(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) {
    fly<T>("all_to_all", execution, group, send.size,
           [&] { communicator_.all_to_all(execution, group, send, send_counts, receive, receive_counts); });
  }
  template <Movable T>
  void shift(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) {
    fly<T>("shift", execution, group, send.size,
           [&] { communicator_.shift(execution, group, send, receive); });
  }
  template <Execution X, Movable T>
  void broadcast(X execution, const Group& group, VectorView<T> values, int root) {
    fly<T>("broadcast", execution, group, values.size,
           [&] { communicator_.broadcast(execution, group, values, root); });
  }

  /// Returns when the execution has done what it was given; see GpuCommunicator. The host's has.
  void settle(E execution) {
    if constexpr (requires { communicator_.settle(execution); }) communicator_.settle(execution);
  }
  template <class IsDone>
  void wait(IsDone&& is_done) requires requires(C& communicator) {
    communicator.wait(is_done);
  }
  { communicator_.wait(is_done); }

 private:
  template <class T, Execution X, class Call>
  void fly(std::string_view op, X execution, const Group& group, index_t size, Call&& call) {
    if (group.size == 1) return call();
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    const auto deadline = deadline_(op, group, bytes);
    if constexpr (requires { communicator_.mark(execution); }) {
      const long long number = recorder_.enqueue(op, group, bytes, deadline, communicator_.mark(execution));
      call();
      recorder_.end_at(number, communicator_.mark(execution));
    } else {
      const auto before = FlightClock::now();
      const long long number = recorder_.enqueue(op, group, bytes, deadline);
      call();
      if constexpr (requires { communicator_.met(); })
        recorder_.end(number, communicator_.met());
      else
        recorder_.end(number, before);
    }
  }

  C& communicator_;
  FlightRecorder& recorder_;
  D deadline_;
};

}  // namespace stepvideo
