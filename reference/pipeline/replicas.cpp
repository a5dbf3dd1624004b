#include "pipeline/replicas.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include <omp.h>

#include <stepvideo/comm/mesh.hpp>

#include "interrupt.hpp"

namespace stepvideo::pipeline {
namespace {

class Dealer {
 public:
  Dealer(std::size_t jobs, int replicas) : failures_(jobs), left_(jobs), active_(replicas) {
    for (std::size_t job = 0; job < jobs; ++job) open_.push_back({job, -1, {}});
  }

  struct Card {
    std::size_t job;
    int failed_on;  ///< the replica; -1 for none
    std::exception_ptr failure;
  };

  /// The next job for a replica; nothing where there will be none.
  std::optional<Card> next(int replica) {
    std::unique_lock lock(mutex_);
    while (!interrupt_ && left_ > 0) {
      // What failed here is another's, if there is one.
      const auto card =
          std::ranges::find_if(open_, [&](const Card& c) { return c.failed_on != replica || active_ == 1; });
      if (card != open_.end()) {
        const Card taken = *card;
        open_.erase(card);
        return taken;
      }
      changed_.wait(lock);
    }
    return {};
  }
  void done() {
    const std::lock_guard lock(mutex_);
    --left_;
    changed_.notify_all();
  }
  void failed(const Card& card, int replica, std::exception_ptr failure, bool is_of_job) {
    const std::lock_guard lock(mutex_);
    const bool has_other = active_ > 1 && card.failed_on < 0 && !is_of_job;
    if (has_other) {
      open_.push_front({card.job, replica, failure});
    } else {
      failures_[card.job] = failure;
      --left_;
    }
    changed_.notify_all();
  }
  void interrupted(std::exception_ptr interrupt) {
    const std::lock_guard lock(mutex_);
    if (!interrupt_) interrupt_ = interrupt;
    changed_.notify_all();
  }
  /// The replica gets no more. The last one's jobs fail with what ended it.
  void retire(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (--active_ == 0)
      for (; !open_.empty(); open_.pop_front(), --left_)
        failures_[open_.front().job] = open_.front().failure ? open_.front().failure : failure;
    changed_.notify_all();
  }

  std::vector<std::exception_ptr> failures() {
    if (interrupt_) std::rethrow_exception(interrupt_);
    return std::move(failures_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Card> open_;
  std::vector<std::exception_ptr> failures_;
  std::size_t left_;
  int active_;
  std::exception_ptr interrupt_;
};

}  // namespace

std::vector<std::exception_ptr> deal(std::size_t jobs, int replicas,
                                     const std::function<void(int replica, std::size_t job)>& work,
                                     const std::function<bool(const std::exception&)>& is_of_job) {
  Dealer dealer(jobs, replicas);
  const int threads = omp_get_max_threads();
  const auto run = [&](int replica) {
    omp_set_num_threads(static_cast<int>(shard_of(std::max(threads, replicas), replicas, replica).count));
    constexpr int most_failures = 2;
    for (int running_failures = 0; const auto card = dealer.next(replica);) {
      try {
        work(replica, card->job);
        running_failures = 0;
        dealer.done();
      } catch (const Interrupted&) {
        return dealer.interrupted(std::current_exception());
      } catch (const std::exception& error) {
        const bool is_job = is_of_job(error);
        dealer.failed(*card, replica, std::current_exception(), is_job);
        if (!is_job && ++running_failures == most_failures) return dealer.retire(std::current_exception());
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (int replica = 1; replica < replicas; ++replica) others.emplace_back(run, replica);
    run(0);
  }
  omp_set_num_threads(threads);
  return dealer.failures();
}

}  // namespace stepvideo::pipeline
