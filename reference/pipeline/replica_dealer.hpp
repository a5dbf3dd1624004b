// Jobs dealt by rank 0 to groups of processes: what it and the first ranks of the groups tell each other.
#pragma once
#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/rank_wire.hpp>

#include "interrupt.hpp"
#include "pipeline/dealer.hpp"

namespace stepvideo::pipeline {

/// What became of a job on a replica.
struct Outcome {
  enum Kind : int { done, failed, failed_of_job, interrupted } kind = done;
  char text[1020] = {};

  static Outcome of(Kind kind, const std::string& text) {
    Outcome outcome{.kind = kind};
    text.copy(outcome.text, sizeof outcome.text - 1);
    return outcome;
  }
};

/// Where a group's first rank gets its jobs, and where it tells what became of them.
class JobSource {
 public:
  virtual ~JobSource() = default;
  /// Waits; nothing where there will be none.
  virtual std::optional<std::size_t> next() = 0;
  virtual void report(const Outcome& outcome) = 0;
  /// To be called often during a job; does not wait.
  virtual void meanwhile() = 0;
};

/// A word is a whole value of a type that both ranks know.
template <class T>
void post_word(RankWire& wire, int rank, const T& value) {
  wire.post(rank, RankWire::Channel::calls, std::as_bytes(std::span(&value, 1)));
}
template <class T>
std::optional<T> take_word(RankWire& wire, int rank) {
  const auto message = wire.take(rank, RankWire::Channel::calls);
  if (!message || message->size() != sizeof(T)) return {};
  T value;
  std::memcpy(&value, message->data(), sizeof value);
  return value;
}
/// Waits for it. Throws RankLost where the rank is gone.
template <class T>
T wait_for_word(RankWire& wire, int rank) {
  while (true) {
    if (const auto value = take_word<T>(wire, rank)) return *value;
    if (wire.is_gone(rank)) throw RankLost(fmt::format("rank {} is gone", rank));
    wire.pause();
  }
}

/// A job for a group, or one of these.
enum JobWord : long long { no_more_jobs = -1, stop_at_next_step = -2 };

/// This process is interrupted, as if a signal had come.
inline void interrupt_this_process() {
  if (!AgreedInterrupts::signal_came()) std::raise(SIGTERM);
}

/// The jobs of a group other than rank 0's.
class JobsOfRank0 final : public JobSource {
 public:
  explicit JobsOfRank0(RankWire& wire) : wire_(wire) {}

  std::optional<std::size_t> next() override {
    long long job = stop_at_next_step;
    while (job == stop_at_next_step) job = wait_for_word<long long>(wire_, 0);
    if (job == no_more_jobs) return {};
    return static_cast<std::size_t>(job);
  }
  void report(const Outcome& outcome) override { post_word(wire_, 0, outcome); }
  void meanwhile() override {
    if (take_word<long long>(wire_, 0) == static_cast<long long>(stop_at_next_step)) interrupt_this_process();
  }

 private:
  RankWire& wire_;
};

/// Rank 0's side, and the jobs of its own group. What fails on one group is given to another, as deal() does.
class ReplicaDealer final : public JobSource {
 public:
  /// Groups of ranks in a row, of equal numbers; the jobs have these numbers.
  ReplicaDealer(RankWire& wire, std::span<const std::size_t> jobs, int replicas)
      : wire_(wire),
        jobs_(jobs.begin(), jobs.end()),
        dealer_(jobs.size(), replicas),
        replicas_(static_cast<std::size_t>(replicas)) {
    for (int replica = 0; replica < replicas; ++replica)
      at(replica).first_rank = replica * wire.ranks() / replicas;
  }

  std::optional<std::size_t> next() override {
    while (!at(0).is_retired && !dealer_.is_over()) {
      if ((at(0).card = dealer_.try_next(0))) return jobs_[at(0).card->job];
      meanwhile();
      wire_.pause();
    }
    return {};
  }
  void report(const Outcome& outcome) override { settle(0, outcome); }
  /// Takes in what became of the other groups' jobs, and hands out more.
  void meanwhile() override {
    for (int replica = 1; replica < std::ssize(replicas_); ++replica) serve(replica);
    if (dealer_.is_interrupted()) interrupt_this_process();
  }

  /// When rank 0's own group has ended: waits for the others. As Dealer::failures().
  std::vector<std::exception_ptr> finish() {
    if (dealer_.is_interrupted())
      for (const Replica& replica : replicas_)
        if (replica.card) post_word(wire_, replica.first_rank, static_cast<long long>(stop_at_next_step));
    at(0).has_left = true;
    while (!std::ranges::all_of(replicas_, &Replica::has_left)) {
      meanwhile();
      wire_.pause();
    }
    return dealer_.failures();
  }

 private:
  struct Replica {
    int first_rank = 0;
    std::optional<Dealer::Card> card = {};  ///< in work
    bool is_retired = false, has_left = false;
  };

  Replica& at(int replica) { return replicas_[static_cast<std::size_t>(replica)]; }

  void serve(int number) {
    Replica& replica = at(number);
    if (replica.has_left) return;
    const std::string gone = wire_.is_gone(replica.first_rank)
                                 ? fmt::format("rank {} is gone", replica.first_rank)
                                 : std::string();
    if (replica.card) {
      auto outcome = take_word<Outcome>(wire_, replica.first_rank);
      if (!outcome && !gone.empty()) outcome = Outcome::of(Outcome::failed, gone);
      if (!outcome) return;
      settle(number, *outcome);
    }
    if (!gone.empty() && !replica.is_retired) {
      dealer_.retire(std::make_exception_ptr(Error(gone)));
      replica.is_retired = true;
    }
    if (!replica.is_retired) replica.card = dealer_.try_next(number);
    if (replica.card) {
      post_word(wire_, replica.first_rank, static_cast<long long>(jobs_[replica.card->job]));
    } else if (replica.is_retired || dealer_.is_over()) {
      post_word(wire_, replica.first_rank, static_cast<long long>(no_more_jobs));
      replica.has_left = true;
    }
  }

  void settle(int number, const Outcome& outcome) {
    Replica& replica = at(number);
    const Dealer::Card card = *std::exchange(replica.card, std::nullopt);
    const std::string text(outcome.text, strnlen(outcome.text, sizeof outcome.text));
    switch (outcome.kind) {
      case Outcome::done:
        return dealer_.done(number);
      case Outcome::interrupted:
        return dealer_.interrupted(std::make_exception_ptr(Interrupted(text, "while denoising")));
      case Outcome::failed_of_job:
      case Outcome::failed:
        replica.is_retired = !dealer_.failed(
            card, number, std::make_exception_ptr(Error(fmt::format("replica {}: {}", number, text))),
            outcome.kind == Outcome::failed_of_job);
    }
  }

  RankWire& wire_;
  std::vector<std::size_t> jobs_;
  Dealer dealer_;
  std::vector<Replica> replicas_;
};

}  // namespace stepvideo::pipeline
