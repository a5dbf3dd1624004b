// What a rank's collectives did, the latest of them: what a stuck run is judged by.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <stepvideo/comm/communicator.hpp>

namespace stepvideo {

using FlightClock = std::chrono::steady_clock;

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
  std::optional<FlightClock::time_point> started = {}, ended = {};  ///< all members there; this rank done
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

  /// Returns the flight's number.
  long long enqueue(std::string_view op, const Group& group, std::size_t bytes,
                    FlightClock::duration deadline) {
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
    return number;
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
    std::vector<Flight> latest;
    for (long long number = std::max(0LL, count_ - std::ssize(flights_)); number < count_; ++number)
      latest.push_back(flights_[place_of(number)]);
    return latest;
  }

 private:
  std::size_t place_of(long long number) const { return static_cast<std::size_t>(number) % flights_.size(); }
  Flight& at(long long number) { return flights_[place_of(number)]; }

  std::atomic<bool> is_away_ = false;
  mutable std::mutex mutex_;
  std::vector<Flight> flights_;
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

  template <Summable T>
  void all_reduce(E execution, const Group& group, VectorView<T> values) {
    fly<T>("all_reduce", group, values.size, [&] { communicator_.all_reduce(execution, group, values); });
  }
  template <Movable T>
  void all_gather(E execution, const Group& group, std::type_identity_t<VectorView<const T>> mine,
                  Counts counts, VectorView<T> all) {
    fly<T>("all_gather", group, mine.size,
           [&] { communicator_.all_gather(execution, group, mine, counts, all); });
  }
  template <Summable T>
  void reduce_scatter(E execution, const Group& group, std::type_identity_t<VectorView<const T>> all,
                      Counts counts, VectorView<T> mine) {
    fly<T>("reduce_scatter", group, all.size,
           [&] { communicator_.reduce_scatter(execution, group, all, counts, mine); });
  }
  template <Movable T>
  void all_to_all(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) {
    fly<T>("all_to_all", group, send.size,
           [&] { communicator_.all_to_all(execution, group, send, send_counts, receive, receive_counts); });
  }
  template <Movable T>
  void shift(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) {
    fly<T>("shift", group, send.size, [&] { communicator_.shift(execution, group, send, receive); });
  }
  template <Movable T>
  void broadcast(E execution, const Group& group, VectorView<T> values, int root) {
    fly<T>("broadcast", group, values.size, [&] { communicator_.broadcast(execution, group, values, root); });
  }

 private:
  template <class T, class Call>
  void fly(std::string_view op, const Group& group, index_t size, Call&& call) {
    if (group.size == 1) return call();
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    const auto before = FlightClock::now();
    const long long number = recorder_.enqueue(op, group, bytes, deadline_(op, group, bytes));
    call();
    if constexpr (requires { communicator_.met(); })
      recorder_.end(number, communicator_.met());
    else
      recorder_.end(number, before);
  }

  C& communicator_;
  FlightRecorder& recorder_;
  D deadline_;
};

}  // namespace stepvideo
