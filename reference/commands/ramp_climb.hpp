// ramp's judgement: runs sizes one after the other, learns from each, stops at the first surprise.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "commands/ramp_fit.hpp"
#include "commands/ramp_ladder.hpp"
#include "commands/ramp_process.hpp"
#include "trace/summary.hpp"

namespace stepvideo::ramp {

/// What the cost model says of a size, before anything is measured.
struct Model {
  std::map<std::string, double> stage_seconds;  ///< stages that it does not know take the same at every size
  double peak_bytes = 0;
};

/// What one size did.
struct Measurement {
  ProcessOutcome outcome;
  std::optional<trace::Summary> summary;  ///< of its event log, where it got far enough to write one
};

struct StageRow {
  std::string name;
  double seconds = 0;
  std::optional<double> predicted_seconds = {};
  bool recalibrates = false;  ///< so much faster than predicted that what was learned before is void
};

/// One size that was run. Predictions are missing for the first, which calibrates them.
struct Row {
  Rung rung;
  double seconds = 0;
  std::optional<double> predicted_seconds = {};
  double peak_bytes = 0;
  std::optional<double> predicted_bytes = {};
  std::vector<StageRow> stages = {};
  std::vector<std::string> notes = {};
};

struct Limits {
  Bounds bounds;                ///< of each size
  double surprise_factor = 2;   ///< a stage that takes so many times its prediction is a surprise,
  double least_seconds = 0.25;  ///< and by so much: less is noise
};

struct Climb {
  enum class End { complete, bound, surprise, interrupted };

  End end = End::complete;
  std::string reason;
  std::vector<Row> rows;
  std::map<std::string, Estimate> stages;  ///< of the full request, seconds
  Estimate total;
  double peak_bytes = 0;
};

/// Runs the sizes on the way to `full`. `model` predicts a size, `run` runs it, `report` hears of each that
/// was run. The first size runs twice, and the second run scales the model to this machine. Each later one is
/// judged by a fit of those before it, and run again before it is called a surprise. A stage that is faster
/// by the factor is none: small work is done less efficiently, so its fit begins anew there. Stops without a
/// surprise where the next size is predicted to break a bound. Throws RequestError with the program's own
/// sentence when the first size is refused as a wrong request.
Climb climb(const Rung& full, const Limits& limits, const std::function<Model(const Rung&)>& model,
            const std::function<Measurement(const Rung&)>& run,
            const std::function<void(const Row&)>& report);

}  // namespace stepvideo::ramp
