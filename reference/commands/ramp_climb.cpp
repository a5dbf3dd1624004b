#include "commands/ramp_climb.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stepvideo/core/error.hpp>

#include "interrupt.hpp"
#include "trace/causes.hpp"
#include "trace/units.hpp"

namespace stepvideo::ramp {
namespace {

using trace::bytes_text, trace::seconds_text;

/// The program's own time: it starts, opens files, ends.
constexpr auto outside_stages = "(outside of stages)";

class Climber {
 public:
  explicit Climber(const Limits& limits) : limits_(limits) {}

  bool knows_nothing() const { return fits_.empty(); }

  Estimate stage(const Model& model, const std::string& name) const {
    return fits_.at(name).at(value_of(model, name));
  }

  double predicted_seconds(const Model& model) const {
    double sum = 0;
    for (const auto& [name, fit] : fits_) sum += fit.at(value_of(model, name)).value;
    return sum;
  }

  /// Memory beyond what the model counts is the same at every size, until the sizes say otherwise.
  double predicted_bytes(const Model& model) const {
    const auto& [least, most] = std::ranges::minmax(memory_, {}, &Memory::model);
    const double span = most.model - least.model;
    const double slope =
        span > 0.5 * least.model ? std::max(0.0, (most.measured - least.measured) / span) : 1;
    return most.measured + slope * (model.peak_bytes - most.model);
  }

  void learn(const Model& model, const Row& row) {
    for (const StageRow& stage : row.stages) {
      if (stage.recalibrates) fits_.erase(stage.name);
      Fit& fit = fits_.try_emplace(stage.name, limits_.surprise_factor).first->second;
      fit.add(value_of(model, stage.name), stage.seconds);
    }
    memory_.push_back({model.peak_bytes, row.peak_bytes});
  }

  Row row_of(const Rung& rung, const Model& model, const Measurement& measured) const {
    Row row{.rung = rung,
            .seconds = measured.outcome.seconds,
            .peak_bytes = static_cast<double>(measured.outcome.peak_bytes)};
    if (!knows_nothing()) {
      row.predicted_seconds = predicted_seconds(model);
      row.predicted_bytes = predicted_bytes(model);
    }
    double outside = row.seconds;
    const auto add = [&](const std::string& name, double seconds) {
      StageRow stage{.name = name, .seconds = seconds};
      if (fits_.contains(name)) stage.predicted_seconds = this->stage(model, name).value;
      row.stages.push_back(stage);
    };
    if (measured.summary)
      for (const trace::StageSummary& stage : measured.summary->stages) {
        add(stage.name, stage.seconds());
        outside -= stage.seconds();
      }
    add(outside_stages, std::max(outside, 0.0));
    return row;
  }

  /// Why the row is a surprise, or an empty string. What is faster than predicted is a note.
  std::string surprise(Row& row, const Measurement& measured) const {
    for (StageRow& stage : row.stages) {
      if (!stage.predicted_seconds) continue;
      const double more = stage.seconds - *stage.predicted_seconds;
      if (std::abs(more) < limits_.least_seconds) continue;
      const double ratio = stage.seconds / *stage.predicted_seconds;
      const auto sentence = [&] {
        return fmt::format("{} took {}, {:.2f} of the {} predicted", stage.name, seconds_text(stage.seconds),
                           ratio, seconds_text(*stage.predicted_seconds));
      };
      if (ratio < 1 / limits_.surprise_factor) {
        stage.recalibrates = true;
        row.notes.push_back(sentence() + "; it calibrates later sizes anew");
      }
      if (ratio < limits_.surprise_factor) continue;
      return sentence() + cause(stage, more, measured);
    }
    return {};
  }

 private:
  struct Memory {
    double model, measured;
  };

  static double value_of(const Model& model, const std::string& name) {
    const auto at = model.stage_seconds.find(name);
    return at == model.stage_seconds.end() ? 1 : at->second;
  }

  static std::string cause(const StageRow& stage, double more, const Measurement& measured) {
    if (!measured.summary) return {};
    const auto& stages = measured.summary->stages;
    const auto at = std::ranges::find(stages, stage.name, &trace::StageSummary::name);
    return at == stages.end() ? "" : ": " + trace::likely_cause(*measured.summary, *at, more);
  }

  const Limits& limits_;
  std::map<std::string, Fit> fits_;
  std::vector<Memory> memory_;
};

/// What stopped a program that did not end well, or an empty string.
std::string failure_of(const Measurement& measured, const Bounds& bounds) {
  const ProcessOutcome& outcome = measured.outcome;
  std::string place;
  if (measured.summary && !measured.summary->last_events.empty())
    place = ", last " + measured.summary->last_events.front().text;
  switch (outcome.end) {
    case ProcessOutcome::End::over_time:
      return fmt::format("it was stopped after {}, over --time-limit {}{}", seconds_text(outcome.seconds),
                         seconds_text(bounds.seconds), place);
    case ProcessOutcome::End::over_memory:
      return fmt::format("it was stopped at {}, over --memory-limit {}{}",
                         bytes_text(static_cast<double>(outcome.peak_bytes)), bytes_text(bounds.bytes),
                         place);
    case ProcessOutcome::End::killed_by_signal:
      return fmt::format("signal {} ({}) killed it{}{}", outcome.code, strsignal(outcome.code), place,
                         outcome.code == SIGKILL ? "; the system kills so what takes its last memory" : "");
    default:
      break;
  }
  if (outcome.code == 0) return {};
  return outcome.errors.empty() ? fmt::format("it ended with exit code {}{}", outcome.code, place)
                                : outcome.errors;
}

bool is_sound(const Measurement& measured) {
  return measured.outcome.end == ProcessOutcome::End::exited && measured.outcome.code == 0 &&
         !is_interrupted();
}

}  // namespace

Climb climb(const Rung& full, const Limits& limits, const std::function<Model(const Rung&)>& model,
            const std::function<Measurement(const Rung&)>& run,
            const std::function<void(const Row&)>& report) {
  Climb result;
  Climber climber(limits);
  const auto stop = [&](Climb::End end, const std::string& reason) {
    result.end = end;
    result.reason = reason;
  };
  for (const Rung& rung : ladder(full)) {
    if (is_interrupted()) {
      stop(Climb::End::interrupted, "interrupted before " + to_string(rung));
      break;
    }
    const Model expected = model(rung);
    if (!climber.knows_nothing()) {
      const double seconds = climber.predicted_seconds(expected), bytes = climber.predicted_bytes(expected);
      if (seconds > limits.bounds.seconds || bytes > limits.bounds.bytes) {
        const bool is_time = seconds > limits.bounds.seconds;
        stop(Climb::End::bound,
             fmt::format("{} is predicted to take {}, over {} {}; it was not started", to_string(rung),
                         is_time ? seconds_text(seconds) : bytes_text(bytes),
                         is_time ? "--time-limit" : "--memory-limit",
                         is_time ? seconds_text(limits.bounds.seconds) : bytes_text(limits.bounds.bytes)));
        break;
      }
    }
    Measurement measured = run(rung);
    const bool is_first = climber.knows_nothing();
    if (is_first && is_sound(measured)) measured = run(rung);  // warm: files cached, processor awake
    if (measured.outcome.end == ProcessOutcome::End::interrupted || is_interrupted()) {
      stop(Climb::End::interrupted, "interrupted in " + to_string(rung));
      break;
    }
    constexpr int wrong_request = 2;
    const bool is_refused = measured.outcome.end == ProcessOutcome::End::exited &&
                            measured.outcome.code == wrong_request && result.rows.empty();
    require(!is_refused, [&] { return measured.outcome.errors; });
    Row row = climber.row_of(rung, expected, measured);
    std::string reason = failure_of(measured, limits.bounds);
    if (reason.empty()) {
      reason = climber.surprise(row, measured);
      if (!reason.empty()) {
        // Once may be the machine's neighbours; twice is a surprise.
        const Measurement again = run(rung);
        if (is_sound(again)) {
          Row second = climber.row_of(rung, expected, again);
          const std::string second_reason = climber.surprise(second, again);
          if (second_reason.empty()) second.notes.push_back("run again, because at first " + reason);
          row = std::move(second);
          reason = second_reason;
        }
      }
      report(row);
      result.rows.push_back(row);
      if (reason.empty()) climber.learn(expected, row);
    }
    if (!reason.empty()) {
      stop(Climb::End::surprise, to_string(rung) + ": " + reason);
      break;
    }
  }
  if (climber.knows_nothing()) return result;

  const Model whole = model(full);
  for (const StageRow& stage : result.rows.front().stages) {
    const Estimate estimate = climber.stage(whole, stage.name);
    result.stages[stage.name] = estimate;
    // One machine slows all stages alike, so their errors add up rather than cancel.
    result.total.value += estimate.value;
    result.total.low += estimate.low;
    result.total.high += estimate.high;
  }
  result.peak_bytes = climber.predicted_bytes(whole);
  return result;
}

}  // namespace stepvideo::ramp
