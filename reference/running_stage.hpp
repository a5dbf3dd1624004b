// Where a run is, for threads that ask while it goes on.
#pragma once
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

namespace stepvideo {

class RunningStage {
 public:
  using Clock = std::chrono::steady_clock;

  void begin(const std::string& name, int steps, std::optional<double> predicted_step_seconds);
  /// So many of the steps are done, some of them in an earlier run.
  void step(int done);
  void skip(int done);
  void end();

  /// The stage, empty between stages.
  std::string name() const;
  /// "stopping after this step, in about 12 s; again stops now".
  std::string stop_text() const;

 private:
  mutable std::mutex mutex_;
  std::string name_;
  int steps_ = 0, done_ = 0, skipped_ = 0;
  std::optional<double> predicted_step_seconds_;
  Clock::time_point begin_{}, step_begin_{};
};

}  // namespace stepvideo
