// Who keeps the others waiting: what the flights of all ranks say about a collective that does not end.
#pragma once
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <stepvideo/comm/flight_recorder.hpp>

namespace stepvideo {

/// The flight a rank is in: its latest, if that has not ended, or of those that are queued the next.
inline std::optional<Flight> open_flight(const std::vector<Flight>& flights) {
  std::optional<Flight> open;
  for (auto flight = flights.rbegin(); flight != flights.rend() && !flight->ended; ++flight) {
    open = *flight;
    if (!flight->is_queued) break;
  }
  return open;
}

/// A collective that counts as lost.
struct LateRank {
  int rank = 0;         ///< that the others wait for
  Flight waiting_for;   ///< the flight that expired, of one of them
  std::string message;  ///< one sentence: who is late, what it did last and when, who waits where
};

namespace watchdog_detail {

/// Of the members of a flight's group the first that has not entered it; -1 where all have.
inline int first_missing(const Flight& flight, std::span<const std::vector<Flight>> by_rank) {
  for (int member = 0; member < flight.group.size; ++member) {
    const int rank = flight.group.rank(member);
    const auto& flights = by_rank[std::size_t(rank)];
    const bool has_entered = std::ranges::any_of(flights, [&](const Flight& other) {
      return other.entered && other.group == flight.group && other.sequence >= flight.sequence;
    });
    if (!has_entered) return rank;
  }
  return -1;
}

inline std::string flight_text(const Flight& flight) {
  std::string text = std::string(flight.op) + " of " + to_string(flight.group);
  if (flight.step >= 0) text += " in step " + std::to_string(flight.step);
  if (flight.layer >= 0) text += ", layer " + std::to_string(flight.layer);
  return text;
}

inline std::string seconds(FlightClock::duration duration) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(duration).count());
  return text;
}

}  // namespace watchdog_detail

/// Finds the rank that `expired`, an open flight, waits for. A rank that itself waits for another is late for
/// that reason alone, so the search goes on from there. `by_rank` are the flights of all ranks at about
/// `now`.
inline LateRank find_late_rank(const Flight& expired, std::span<const std::vector<Flight>> by_rank,
                               FlightClock::time_point now) {
  using namespace watchdog_detail;
  Flight flight = expired;
  int late = first_missing(flight, by_rank);
  for (std::size_t hops = 0; late >= 0 && hops < by_rank.size(); ++hops) {
    const auto open = open_flight(by_rank[std::size_t(late)]);
    const int next = open ? first_missing(*open, by_rank) : -1;
    if (next < 0) break;
    flight = *open, late = next;
  }
  if (late < 0)
    return {-1, expired,
            flight_text(expired) + " has not ended " + seconds(now - expired.begin()) +
                " after it was called, and all of its ranks are in it"};
  const auto& flights = by_rank[std::size_t(late)];
  std::string text = "rank " + std::to_string(late) + " is late: " + flight_text(flight) +
                     " waits for it since " + seconds(now - flight.begin());
  // What is queued behind is nothing it has done.
  const auto last_entered = std::ranges::find_if(
      flights.rbegin(), flights.rend(), [](const Flight& other) { return other.entered.has_value(); });
  if (last_entered == flights.rend())
    text += "; it has entered no collective yet";
  else if (const Flight& last = *last_entered; last.ended)
    text += "; its last collective, " + flight_text(last) + ", ended " + seconds(now - *last.ended) + " ago";
  else
    text += "; it is in " + flight_text(last);
  return {late, expired, text};
}

/// Watches the recorders of all ranks of this process from a thread of its own.
class Watchdog {
 public:
  using OnLate = std::function<void(const LateRank&)>;

  /// `on_late` is called once, from the watching thread, when a flight is over its deadline; the recorders
  /// outlive this. Only time in which the watcher ran and no rank was away counts: a suspended process, or a
  /// slow disk, raises no alarm.
  Watchdog(std::vector<const FlightRecorder*> recorders, OnLate on_late,
           FlightClock::duration interval = std::chrono::milliseconds(100))
      : recorders_(std::move(recorders)),
        on_late_(std::move(on_late)),
        interval_(interval),
        watched_(recorders_.size()),
        thread_([this](std::stop_token stop) { run(stop); }) {}

 private:
  struct Watched {
    long long flight = -1;
    FlightClock::duration time{};
  };

  void run(std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    auto before = FlightClock::now();
    while (true) {
      std::unique_lock lock(mutex);
      wake.wait_for(lock, stop, interval_, [] { return false; });
      if (stop.stop_requested()) return;
      const auto now = FlightClock::now();
      if (look(now, std::min(now - before, 2 * interval_))) return;
      before = now;
    }
  }

  /// Whether `on_late` was called.
  bool look(FlightClock::time_point now, FlightClock::duration passed) {
    if (std::ranges::any_of(recorders_, &FlightRecorder::is_away)) passed = {};
    std::vector<std::vector<Flight>> by_rank;
    for (const FlightRecorder* recorder : recorders_) by_rank.push_back(recorder->flights());
    for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
      const auto open = open_flight(by_rank[rank]);
      Watched& watched = watched_[rank];
      if (!open || open->number != watched.flight) {
        watched = {open ? open->number : -1, {}};
        continue;
      }
      watched.time += passed;
      if (open->deadline == FlightClock::duration{} || watched.time < open->deadline) continue;
      on_late_(find_late_rank(*open, by_rank, now));
      return true;
    }
    return false;
  }

  std::vector<const FlightRecorder*> recorders_;
  OnLate on_late_;
  FlightClock::duration interval_;
  std::vector<Watched> watched_;  ///< by rank
  std::jthread thread_;           ///< last: it uses the others
};

}  // namespace stepvideo
