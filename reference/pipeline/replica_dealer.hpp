// Jobs dealt by rank 0 to groups of processes: what it and the first ranks of the groups tell each other.
#pragma once
#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/rank_wire.hpp>

#include "interrupt.hpp"
#include "pipeline/dealer.hpp"
#include "pipeline/process_ranks.hpp"

namespace stepvideo::pipeline {

/// What became of a job on a replica: what it returned, or why it did not. `interrupted` may come from one
/// without a job; `left` is its last.
struct Outcome {
  enum Kind : int { done, failed, failed_of_job, interrupted, left } kind = done;
  char text[4000] = {};

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
/// Where one has come. Throws Error where it is something else, such as a rank's last message.
template <class T>
std::optional<T> take_word(RankWire& wire, int rank) {
  const auto message = wire.take(rank, RankWire::Channel::calls);
  if (!message) return {};
  if (message->size() != sizeof(T))
    throw Error(fmt::format("rank {} sent {} bytes where {} were due: it has failed", rank, message->size(),
                            sizeof(T)));
  T value;
  std::memcpy(&value, message->data(), sizeof value);
  return value;
}
/// Waits for it. Throws RankLost where the rank is gone, and as take_word().
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

/// The text of an interrupt that found a group without a job.
constexpr const char* interrupted_between_jobs = "interrupted while denoising";

/// The jobs of a group other than rank 0's.
class JobsOfRank0 final : public JobSource {
 public:
  explicit JobsOfRank0(RankWire& wire) : wire_(wire) {}

  /// Throws where rank 0 is lost, from then on at every call.
  std::optional<std::size_t> next() override {
    while (true) {
      const bool is_gone = wire_.is_gone(0);
      const std::optional<long long> word = listen();
      if (lost_) std::rethrow_exception(lost_);
      if (is_over_) {
        report({.kind = Outcome::left});
        return {};
      }
      if (AgreedInterrupts::signal_came() && !is_interrupted_)
        report(Outcome::of(Outcome::interrupted, interrupted_between_jobs));
      // Of what was posted before rank 0 knew of the interrupt, nothing is done.
      if (word && *word >= 0 && !is_interrupted_) return static_cast<std::size_t>(*word);
      if (!word && is_gone) throw RankLost("rank 0 is gone");
      if (!word) wire_.pause();
    }
  }
  void report(const Outcome& outcome) override {
    is_interrupted_ |= outcome.kind == Outcome::interrupted;
    if (!lost_) post_word(wire_, 0, outcome);
  }
  void meanwhile() override {
    const bool is_to_stop = listen().value_or(0) < 0;
    if (is_to_stop || lost_) interrupt_this_process();
  }

 private:
  /// Rank 0's next word, where one has come. Does not throw: others may be reading this rank's memory.
  std::optional<long long> listen() {
    if (is_over_ || lost_) return {};
    try {
      const auto word = take_word<long long>(wire_, 0);
      is_over_ = word == static_cast<long long>(no_more_jobs);
      return word;
    } catch (const Error&) {
      lost_ = std::current_exception();
      return {};
    }
  }

  RankWire& wire_;
  std::exception_ptr lost_;      ///< why nothing more comes from rank 0
  bool is_over_ = false;         ///< it said so
  bool is_interrupted_ = false;  ///< it was told so
};

/// Rank 0's side, and the jobs of its own group. What fails on one group is given to another, as deal() does.
class ReplicaDealer final : public JobSource {
 public:
  /// Groups of ranks in a row, of equal numbers; the jobs have these numbers.
  ReplicaDealer(RankWire& wire, std::span<const std::size_t> jobs, int replicas)
      : wire_(wire),
        jobs_(jobs.begin(), jobs.end()),
        dealer_(jobs.size(), replicas),
        results_(jobs.size()),
        replicas_(static_cast<std::size_t>(replicas)) {
    for (int replica = 0; replica < replicas; ++replica)
      at(replica).first_rank = replica * wire.ranks() / replicas;
  }
  ReplicaDealer(const ReplicaDealer&) = delete;
  ReplicaDealer& operator=(const ReplicaDealer&) = delete;
  /// Where finish() did not: the other groups stop at their next step, and no word of theirs is left.
  ~ReplicaDealer() {
    try {
      for (Replica& replica : replicas_ | std::views::drop(1)) dismiss(replica);
      wait_for_others();
    } catch (...) {
      // They learn from this rank's last message that it failed.
    }
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
    // During a job its next step finds the signal.
    if (AgreedInterrupts::signal_came() && !at(0).card) interrupt(interrupted_between_jobs);
    for (int replica = 1; replica < std::ssize(replicas_); ++replica) serve(replica);
    if (dealer_.is_interrupted()) interrupt_this_process();
  }

  /// When rank 0's own group has ended: waits for the others. By job; throws the interrupt, and Error where a
  /// group's first rank failed outside of its jobs.
  std::vector<DealtJob> finish() {
    wait_for_others();
    if (lost_) std::rethrow_exception(lost_);
    const auto failures = dealer_.failures();
    std::vector<DealtJob> dealt;
    for (std::size_t job = 0; job < failures.size(); ++job)
      dealt.push_back({failures[job], std::move(results_[job])});
    return dealt;
  }

 private:
  struct Replica {
    int first_rank = 0;
    std::optional<Dealer::Card> card = {};  ///< in work
    bool is_told_to_stop = false, is_dismissed = false;
    bool is_retired = false, has_left = false;
  };

  Replica& at(int replica) { return replicas_[static_cast<std::size_t>(replica)]; }

  void wait_for_others() {
    at(0).has_left = true;
    while (!std::ranges::all_of(replicas_, &Replica::has_left)) {
      meanwhile();
      wire_.pause();
    }
  }

  void serve(int number) {
    Replica& replica = at(number);
    if (replica.has_left) return;
    hear(number);
    if (replica.has_left || replica.is_dismissed) return;
    if (replica.card) {
      if (dealer_.is_interrupted() && !std::exchange(replica.is_told_to_stop, true))
        tell(replica, stop_at_next_step);
      return;
    }
    if (!replica.is_retired) replica.card = dealer_.try_next(number);
    if (replica.card)
      tell(replica, static_cast<long long>(jobs_[replica.card->job]));
    else if (replica.is_retired || dealer_.is_over())
      dismiss(replica);
  }

  /// Takes in what a group's first rank says, or that it will say nothing more.
  void hear(int number) {
    Replica& replica = at(number);
    std::string gone =
        wire_.is_gone(replica.first_rank) ? fmt::format("rank {} is gone", replica.first_rank) : "";
    std::optional<Outcome> outcome;
    try {
      outcome = take_word<Outcome>(wire_, replica.first_rank);
    } catch (const Error& error) {
      gone = error.what();
      lost_ = std::current_exception();
    }
    if (!outcome && replica.card && !gone.empty()) outcome = Outcome::of(Outcome::failed, gone);
    if (outcome) settle(number, *outcome);
    if (gone.empty()) return;
    if (!std::exchange(replica.is_retired, true)) dealer_.retire(std::make_exception_ptr(Error(gone)));
    replica.has_left = true;
  }

  void tell(const Replica& replica, long long word) { post_word(wire_, replica.first_rank, word); }
  void dismiss(Replica& replica) {
    if (!replica.has_left && !std::exchange(replica.is_dismissed, true)) tell(replica, no_more_jobs);
  }
  void interrupt(const std::string& text) {
    dealer_.interrupted(std::make_exception_ptr(Interrupted(text, "while denoising")));
  }

  void settle(int number, const Outcome& outcome) {
    Replica& replica = at(number);
    const std::optional<Dealer::Card> card = std::exchange(replica.card, std::nullopt);
    const std::string text(outcome.text, strnlen(outcome.text, sizeof outcome.text));
    switch (outcome.kind) {
      case Outcome::done:
        results_[card.value().job] = text;
        return dealer_.done(number);
      case Outcome::interrupted:
        return interrupt(text);
      case Outcome::left:
        replica.has_left = true;
        return;
      case Outcome::failed_of_job:
      case Outcome::failed:
        replica.is_retired = !dealer_.failed(
            card.value(), number, std::make_exception_ptr(Error(fmt::format("replica {}: {}", number, text))),
            outcome.kind == Outcome::failed_of_job);
    }
  }

  RankWire& wire_;
  std::vector<std::size_t> jobs_;
  Dealer dealer_;
  std::vector<std::string> results_;  ///< by job
  std::vector<Replica> replicas_;
  std::exception_ptr lost_;  ///< a group's first rank failed outside of its jobs
};

}  // namespace stepvideo::pipeline
