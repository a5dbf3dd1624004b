#include "pipeline/ranks_on_threads.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/comm/watchdog.hpp>

#include "interrupt.hpp"
#include "pipeline/rank_work.hpp"

namespace stepvideo::pipeline {
namespace {

using RankCommunicator = Recorded<ThreadCommunicator, RankDeadline>;

/// What a rank has from its load on. It does not move: its parts refer to each other.
template <Element T>
struct Rank {
  Rank(ThreadCommunicator communicator, const Deadlines& deadlines)
      : end(communicator), recorded(end, recorder, RankDeadline(deadlines, recorder)) {}

  ThreadCommunicator end;
  FlightRecorder recorder{4096};
  RankCommunicator recorded;
  FlightLog flights{recorder};
  std::optional<Progress> progress;  ///< of a rank other than 0
  std::unique_ptr<PlacedTransformer<T, Host, RankCommunicator>> transformer;
};

template <Element T>
class TransformerOnThreads final : public Denoiser::Loaded {
 public:
  TransformerOnThreads(const model::TransformerConfig& config, const Weights& weights, const Ranks& ranks,
                       Progress& progress)
      : mesh_{ranks.topology}, ranks_(static_cast<std::size_t>(mesh_.ranks())) {
    run_on_threads(mesh_.ranks(), [&](ThreadCommunicator& communicator) {
      const int number = communicator.rank();
      const AgreedInterrupts agreed;
      name_failures(number, [&] {
        auto& owner = ranks_[static_cast<std::size_t>(number)];
        owner = std::make_unique<Rank<T>>(communicator, ranks.deadlines);
        Rank<T>& rank = *owner;
        if (number > 0) rank.progress.emplace(rank_progress(ranks, number, true));
        rank.transformer =
            load_part<T>(rank.recorded, mesh_, config, weights, number > 0 ? *rank.progress : progress);
      });
    });
  }

  void forward(const Conditioning& conditioning, LatentsView<const float> latents,
               VectorView<const float> times, LatentsView<float> velocity) override {
    run_on_threads(mesh_.ranks(), [&](ThreadCommunicator& communicator) {
      Rank<T>& rank = *ranks_[static_cast<std::size_t>(communicator.rank())];
      rank.end = communicator;
      Buffer<float> own(communicator.rank() > 0 ? velocity.size() : 0);
      LatentsView<float> mine = velocity;
      if (communicator.rank() > 0) mine.data = own.data();
      rank.transformer->forward(conditioning, latents, times, mine);
    });
  }

  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override {
    std::vector<const FlightRecorder*> recorders;
    for (auto& rank : ranks_) recorders.push_back(&rank->recorder);
    ThreadMeetings meetings(mesh_.ranks());
    running_ = mesh_.ranks();
    std::optional<std::string> late;
    std::optional<Watchdog> watchdog;
    watchdog.emplace(std::move(recorders), [&](const LateRank& found) {
      late = found.message;
      meetings.stop(found.message);
      end_without(found, run, progress);
    });
    try {
      run_on_threads(meetings, [&](ThreadCommunicator& communicator) {
        const Running running(running_);
        ranks_[static_cast<std::size_t>(communicator.rank())]->end = communicator;
        run_rank(communicator.rank(), run, progress, observer);
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

  Progress& progress_of(int rank, Progress& of_rank_0) {
    return rank > 0 ? *ranks_[static_cast<std::size_t>(rank)]->progress : of_rank_0;
  }

  void run_rank(int number, const Integration& run, Progress& progress, const StepObserver& observer) {
    Rank<T>& rank = *ranks_[static_cast<std::size_t>(number)];
    Progress& own_progress = progress_of(number, progress);
    Latents own;
    if (number > 0) {
      own = {run.latents.shape, run.latents.channels, Buffer<float>(run.latents.size())};
      copy(host, run.latents.values, own.values);
    }
    denoise_part(*rank.transformer, number,
                 {.conditioning = run.conditioning,
                  .settings = run.settings,
                  .latents = number > 0 ? own : run.latents,
                  .steps_done = run.steps_done,
                  .spare_bytes = run.spare_bytes,
                  .before_step = run.before_step},
                 rank.flights, own_progress, number > 0 ? StepObserver{} : observer);
  }

  /// The ranks that wait have been told to leave. Returns when all have; where one hangs, ends the process:
  /// its thread cannot be ended.
  void end_without(const LateRank& found, const Integration& run, Progress& progress) {
    using namespace std::chrono_literals;
    const auto begin = std::chrono::steady_clock::now();
    const auto wait_until = [&](auto limit, int at_most) {
      while (running_ > at_most && std::chrono::steady_clock::now() - begin < limit)
        std::this_thread::sleep_for(10ms);
      return running_ <= at_most;
    };
    const bool others_left = wait_until(4s, 1);
    if (wait_until(others_left ? 1s : 5s, 0)) return;
    for (int rank = 0; rank < mesh_.ranks(); ++rank)
      ranks_[static_cast<std::size_t>(rank)]->flights.write(progress_of(rank, progress), true);
    const int late = std::max(found.rank, 0);
    progress_of(late, progress)
        .log({.kind = Event::Kind::error, .stage = "denoise", .message = found.message});
    if (others_left && found.rank != 0 && run.rescue) run.rescue();
    std::cerr << "stepvideo: " << found.message << std::endl;
    std::_Exit(1);
  }

  Mesh mesh_;
  std::vector<std::unique_ptr<Rank<T>>> ranks_;
  std::atomic<int> running_ = 0;
};

}  // namespace

std::unique_ptr<Denoiser::Loaded> load_transformer_on_threads(Precision precision,
                                                              const model::TransformerConfig& config,
                                                              const Weights& weights, const Ranks& ranks,
                                                              Progress& progress) {
  return with_element(precision, [&]<Element T>() -> std::unique_ptr<Denoiser::Loaded> {
    return std::make_unique<TransformerOnThreads<T>>(config, weights, ranks, progress);
  });
}

}  // namespace stepvideo::pipeline
