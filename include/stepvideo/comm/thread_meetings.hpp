// Where threads that are ranks wait for one another. Nobody waits for a rank that cannot come: one that
// failed or ended, or ranks that wait for each other in different collectives.
#pragma once
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <stepvideo/comm/agreement.hpp>
#include <stepvideo/comm/communicator.hpp>

namespace stepvideo {

class ThreadMeetings {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ThreadMeetings(int ranks) : waiting_in_(static_cast<std::size_t>(ranks)) {}

  int ranks() const { return static_cast<int>(waiting_in_.size()); }

  /// Waits for all members, calls `work(arrivals by member)` on each at once, and waits until all are done
  /// with it. Returns when the last member came. Throws RankLost instead of waiting for ever, what
  /// require_agreement throws, and what `work` throws.
  template <class Work>
  Clock::time_point meet(int rank, const Group& group, const Arrival& arrival, Work&& work) {
    Meeting& meeting = enter(rank, group, arrival);
    const Clock::time_point met = meeting.met;
    // Leaves also when work throws: the others are still reading this rank's memory.
    const struct Leave {
      ThreadMeetings& meetings;
      Meeting& meeting;
      ~Leave() { meetings.leave(meeting); }
    } leave_at_the_end{*this, meeting};
    require_agreement(group, meeting.arrivals);
    work(std::span<const Arrival>(meeting.arrivals));
    return met;
  }

  /// No rank waits any longer: all that wait, or will, throw RankLost. The first reason stays.
  void stop(const std::string& why) {
    const std::lock_guard lock(mutex_);
    stop_because(why);
  }
  void stop(int rank, const std::string& why) { stop("rank " + std::to_string(rank) + " failed: " + why); }
  /// Throws RankLost where stop() was called; for a rank that waits for something else.
  void require_all_well(int rank) {
    const std::lock_guard lock(mutex_);
    if (stopped_) throw RankLost(*stopped_ + "; rank " + std::to_string(rank) + " left its GPU's work");
  }
  /// The rank calls no more collectives.
  void finish() {
    const std::lock_guard lock(mutex_);
    ++finished_;
    stop_if_nobody_can_go_on();
  }

 private:
  struct Meeting {
    Group group;
    std::vector<Arrival> arrivals;
    int entered = 0, left = 0;
    long long round = 0;  ///< that all have left
    Clock::time_point met{};
  };
  struct Wait {
    std::string_view op;
    Group group;
  };

  Meeting& enter(int rank, const Group& group, const Arrival& arrival) {
    std::unique_lock lock(mutex_);
    if (stopped_) throw_lost(rank, arrival.op, group);
    Meeting& meeting = meetings_[{group.first, group.stride, group.size}];
    if (meeting.arrivals.empty()) meeting = {group, std::vector<Arrival>(std::size_t(group.size))};
    meeting.arrivals[std::size_t(group.member(rank))] = arrival;
    if (++meeting.entered == group.size) {
      meeting.met = Clock::now();
      for (int member = 0; member < group.size; ++member)
        waiting_in_[std::size_t(group.rank(member))].reset();
      changed_.notify_all();
      return meeting;
    }
    waiting_in_[std::size_t(rank)] = Wait{arrival.op, group};
    stop_if_nobody_can_go_on();
    changed_.wait(lock, [&] { return meeting.entered == group.size || stopped_; });
    if (meeting.entered == group.size) return meeting;
    --meeting.entered;
    waiting_in_[std::size_t(rank)].reset();
    throw_lost(rank, arrival.op, group);
  }

  /// All members have entered and do nothing but copy: this wait ends, whoever failed elsewhere.
  void leave(Meeting& meeting) {
    std::unique_lock lock(mutex_);
    const long long round = meeting.round;
    if (++meeting.left == meeting.group.size) {
      meeting.entered = meeting.left = 0;
      ++meeting.round;
      changed_.notify_all();
    } else {
      changed_.wait(lock, [&] { return meeting.round != round; });
    }
  }

  void stop_because(std::string why) {
    if (!stopped_) stopped_ = std::move(why);
    changed_.notify_all();
  }

  /// Every rank has ended or waits in a collective that is not complete: none will ever be.
  void stop_if_nobody_can_go_on() {
    int waiting = 0;
    std::string text;
    for (std::size_t rank = 0; rank < waiting_in_.size(); ++rank) {
      if (!waiting_in_[rank]) continue;
      ++waiting;
      text += (text.empty() ? "" : "; ") + ("rank " + std::to_string(rank)) + " waits in " +
              std::string(waiting_in_[rank]->op) + " of " + to_string(waiting_in_[rank]->group);
    }
    if (waiting == 0 || waiting + finished_ < ranks()) return;
    stop_because("no rank can go on: " + text +
                 (finished_ > 0 ? "; the other " + std::to_string(finished_) + " ended" : ""));
  }

  [[noreturn]] void throw_lost(int rank, std::string_view op, const Group& group) const {
    throw RankLost(*stopped_ + "; rank " + std::to_string(rank) + " left " + std::string(op) + " of " +
                   to_string(group));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::tuple<int, int, int>, Meeting> meetings_;  ///< nodes do not move
  std::vector<std::optional<Wait>> waiting_in_;            ///< by rank
  int finished_ = 0;
  std::optional<std::string> stopped_;
};

}  // namespace stepvideo
