// Which replica does which job, and what becomes of those that fail.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace stepvideo::pipeline {

/// For any thread; see deal() in pipeline/replicas.hpp for the rules.
class Dealer {
 public:
  Dealer(std::size_t jobs, int replicas)
      : failures_(jobs),
        running_failures_(static_cast<std::size_t>(replicas)),
        left_(jobs),
        active_(replicas) {
    for (std::size_t job = 0; job < jobs; ++job) open_.push_back({job, -1, {}});
  }

  struct Card {
    std::size_t job;
    int failed_on;  ///< the replica; -1 for none
    std::exception_ptr failure;
  };

  /// The next job for a replica; waits while there is none, and returns nothing where there will be none.
  std::optional<Card> next(int replica) {
    std::unique_lock lock(mutex_);
    std::optional<Card> card;
    changed_.wait(lock, [&] { return is_over_now() || (card = take(replica)); });
    return card;
  }
  /// The same where there is one now.
  std::optional<Card> try_next(int replica) {
    const std::lock_guard lock(mutex_);
    return is_over_now() ? std::nullopt : take(replica);
  }
  /// Whether there will be no more for anybody.
  bool is_over() {
    const std::lock_guard lock(mutex_);
    return is_over_now();
  }
  bool is_interrupted() {
    const std::lock_guard lock(mutex_);
    return interrupt_ != nullptr;
  }
  void done(int replica) {
    const std::lock_guard lock(mutex_);
    --left_;
    running_failures_[static_cast<std::size_t>(replica)] = 0;
    changed_.notify_all();
  }
  /// Another gets the job, if there is one, unless the failure is the job's own. Returns false where the
  /// replica gets no more: its failures then were two running.
  bool failed(const Card& card, int replica, std::exception_ptr failure, bool is_of_job) {
    constexpr int most_failures = 2;
    const std::lock_guard lock(mutex_);
    if (active_ > 1 && card.failed_on < 0 && !is_of_job) {
      open_.push_front({card.job, replica, failure});
    } else {
      failures_[card.job] = failure;
      --left_;
    }
    const bool is_retired =
        !is_of_job && ++running_failures_[static_cast<std::size_t>(replica)] == most_failures;
    if (is_retired) count_out(failure);
    changed_.notify_all();
    return !is_retired;
  }
  /// A replica gets no more, for this reason.
  void retire(const std::exception_ptr& failure) {
    const std::lock_guard lock(mutex_);
    count_out(failure);
    changed_.notify_all();
  }
  /// There will be no more for anybody. Where all is done there is nothing to interrupt.
  void interrupted(std::exception_ptr interrupt) {
    const std::lock_guard lock(mutex_);
    if (!is_over_now()) interrupt_ = interrupt;
    changed_.notify_all();
  }
  /// By job, when all is over. Throws the interrupt.
  std::vector<std::exception_ptr> failures() {
    if (interrupt_) std::rethrow_exception(interrupt_);
    return std::move(failures_);
  }

 private:
  bool is_over_now() const { return interrupt_ || left_ == 0; }
  /// What failed on a replica is another's, if there is one.
  std::optional<Card> take(int replica) {
    const auto card =
        std::ranges::find_if(open_, [&](const Card& c) { return c.failed_on != replica || active_ == 1; });
    if (card == open_.end()) return {};
    const Card taken = *card;
    open_.erase(card);
    return taken;
  }

  /// The last one's jobs fail with what ended it.
  void count_out(const std::exception_ptr& failure) {
    if (--active_ > 0) return;
    for (; !open_.empty(); open_.pop_front(), --left_)
      failures_[open_.front().job] = open_.front().failure ? open_.front().failure : failure;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Card> open_;
  std::vector<std::exception_ptr> failures_;
  std::vector<int> running_failures_;  ///< by replica
  std::size_t left_;
  int active_;
  std::exception_ptr interrupt_;
};

}  // namespace stepvideo::pipeline
