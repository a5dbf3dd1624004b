#include "running_stage.hpp"

#include <fmt/format.h>

#include "trace/units.hpp"

namespace stepvideo {
namespace {

double seconds_between(RunningStage::Clock::time_point begin, RunningStage::Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

void RunningStage::begin(const std::string& name, int steps, std::optional<double> predicted_step_seconds) {
  const std::lock_guard lock(mutex_);
  name_ = name;
  steps_ = steps;
  done_ = skipped_ = 0;
  predicted_step_seconds_ = predicted_step_seconds;
  begin_ = step_begin_ = Clock::now();
}

void RunningStage::step(int done) {
  const std::lock_guard lock(mutex_);
  done_ = done;
  step_begin_ = Clock::now();
}

void RunningStage::skip(int done) {
  const std::lock_guard lock(mutex_);
  done_ = skipped_ = done;
}

void RunningStage::end() {
  const std::lock_guard lock(mutex_);
  name_.clear();
}

std::string RunningStage::name() const {
  const std::lock_guard lock(mutex_);
  return name_;
}

std::string RunningStage::stop_text() const {
  const std::lock_guard lock(mutex_);
  std::optional<double> step_seconds = predicted_step_seconds_;
  if (done_ > skipped_) step_seconds = seconds_between(begin_, step_begin_) / (done_ - skipped_);
  std::string when = "stopping";
  if (!name_.empty()) when += steps_ > 0 ? " after this step" : fmt::format(" after stage '{}'", name_);
  if (!name_.empty() && steps_ > 0 && step_seconds)
    if (const double left = *step_seconds - seconds_between(step_begin_, Clock::now()); left > 0)
      when += ", in about " + trace::seconds_text(left);
  return when + "; again stops now";
}

}  // namespace stepvideo
