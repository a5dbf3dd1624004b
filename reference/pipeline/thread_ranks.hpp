// Ranks that are threads of this process, and who watches them while they work together.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <stepvideo/comm/rank_words.hpp>
#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/comm/watchdog.hpp>

#include "exit_code.hpp"
#include "interrupt.hpp"
#include "io/pending_file.hpp"
#include "last_words.hpp"
#include "pipeline/rank_work.hpp"

namespace stepvideo::pipeline {

/// Ranks that work together from time to time, in stages of one name.
class ThreadRanks {
 public:
  using RankCommunicator = Recorded<ThreadCommunicator, RankDeadline>;

  /// What a rank has for good. It does not move: its parts refer to each other.
  struct Rank {
    Rank(ThreadCommunicator communicator, const Deadlines& deadlines, const std::string& stage)
        : end(communicator),
          recorded(end, recorder, RankDeadline(deadlines, recorder)),
          flights(recorder, stage) {}

    ThreadCommunicator end;
    WordsOver<ThreadCommunicator> words{end};
    FlightRecorder recorder{4096};
    RankCommunicator recorded;
    FlightLog flights;
  };

  ThreadRanks(int count, const Deadlines& deadlines, std::string stage, const Ranks& ranks)
      : stage_(std::move(stage)), ranks_(ranks) {
    for (int rank = 0; rank < count; ++rank)
      all_.push_back(std::make_unique<Rank>(ThreadCommunicator(idle_, rank), deadlines, stage_));
  }

  int count() const { return static_cast<int>(all_.size()); }
  Rank& operator[](int rank) { return *all_[static_cast<std::size_t>(rank)]; }
  /// Of a rank other than 0 its own.
  Progress& progress_of(int rank, Progress& of_rank_0) {
    return rank > 0 ? ranks_.logs->of(ranks_, rank) : of_rank_0;
  }

  /// Calls `work(rank number)` on the first `count` ranks, which divide the OpenMP threads; what it throws
  /// says which rank that is. Interrupts show there only once the ranks have agreed on them.
  template <class Work>
  void run(int count, Work&& work) {
    run_on_threads(count, [&](ThreadCommunicator& communicator) {
      const AgreedInterrupts agreed;
      const int rank = enter(communicator);
      name_failures(rank, [&] { work(rank); });
    });
  }

  /// The same, watched: a rank that keeps the others waiting beyond a deadline is named, and the process ends
  /// with code 1 when the others have left and `rescue`, where there is one, was called: no thread can be
  /// ended from outside. Logs get the collectives.
  template <class Work>
  void run_watched(int count, Progress& progress, const std::function<void()>& rescue, Work&& work) {
    std::vector<const FlightRecorder*> recorders;
    for (int rank = 0; rank < count; ++rank) recorders.push_back(&(*this)[rank].recorder);
    ThreadMeetings meetings(count);
    running_ = count;
    std::optional<std::string> late;
    std::optional<Watchdog> watchdog;
    watchdog.emplace(std::move(recorders), [&](const LateRank& found) {
      late = found.message;
      meetings.stop(found.message);
      end_without(found, count, rescue, progress);
    });
    try {
      run_on_threads(meetings, [&](ThreadCommunicator& communicator) {
        const Running running(running_);
        const int rank = enter(communicator);
        do_part(rank, (*this)[rank].flights, progress_of(rank, progress), [&] { work(rank); });
      });
    } catch (const RankLost&) {
      watchdog.reset();  // joins: `late` is written
      if (late) throw Error(*late);
      throw;
    }
  }

 private:
  /// A rank's run, as long as it lasts.
  class Running {
   public:
    explicit Running(std::atomic<int>& count) : count_(count) {}
    ~Running() { --count_; }

   private:
    std::atomic<int>& count_;
  };

  int enter(ThreadCommunicator& communicator) {
    const int rank = communicator.rank();
    (*this)[rank].end = communicator;
    return rank;
  }

  /// The ranks that wait have been told to leave. Returns when all have; where one hangs, ends the process:
  /// its thread cannot be ended, nor can what its GPU is at.
  void end_without(const LateRank& found, int count, const std::function<void()>& rescue,
                   Progress& progress) {
    using namespace std::chrono_literals;
    const auto begin = std::chrono::steady_clock::now();
    const auto wait_until = [&](auto limit, int at_most) {
      while (running_ > at_most && std::chrono::steady_clock::now() - begin < limit)
        std::this_thread::sleep_for(10ms);
      return running_ <= at_most;
    };
    const bool others_left = wait_until(4s, 1);
    if (wait_until(others_left ? 1s : 5s, 0) && !ranks_.on_gpus) return;
    for (int rank = 0; rank < count; ++rank) (*this)[rank].flights.write(progress_of(rank, progress), true);
    const int late = std::max(found.rank, 0);
    progress_of(late, progress).log({.kind = Event::Kind::error, .stage = stage_, .message = found.message});
    if (others_left && found.rank != 0 && rescue) rescue();
    say_failure(LastWords::speak_all(found.message));
    io::drop_pending();
    std::_Exit(1);
  }

  std::string stage_;
  Ranks ranks_;
  ThreadMeetings idle_{1};  // between runs nobody meets
  std::vector<std::unique_ptr<Rank>> all_;
  std::atomic<int> running_ = 0;
};

}  // namespace stepvideo::pipeline
