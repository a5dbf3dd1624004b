#include <algorithm>
#include <cmath>
#include <iostream>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "commands/command.hpp"
#include "commands/prompt_flags.hpp"
#include "commands/ramp_climb.hpp"
#include "commands/sampling_flags.hpp"
#include "commands/session.hpp"
#include "io/video.hpp"
#include "trace/expectation.hpp"
#include "trace/report.hpp"
#include "trace/units.hpp"

namespace stepvideo::commands {
namespace {

using stepvideo::ramp::Climb, stepvideo::ramp::Measurement, stepvideo::ramp::Model, stepvideo::ramp::Rung;
using trace::bytes_text, trace::seconds_text;

/// A folder for what the small runs write; it goes away with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "stepvideo-ramp-XXXXXX").string();
    if (error || mkdtemp(name.data()) == nullptr)
      throw Error("no temporary folder can be made; set TMPDIR to a folder that can be written");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code unused;
    std::filesystem::remove_all(path_, unused);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct RampFlags {
  PromptFlags words;
  double time_limit = 30, factor = 2;
  std::optional<double> memory_limit;
  SamplingFlags sampling;
  std::uint64_t seed = 0;
};

/// Runs sizes with `generate`, each as a process of its own.
class SizeRunner {
 public:
  SizeRunner(const CommonOptions& common, const RampFlags& flags, const pipeline::SamplerSettings& settings,
             const stepvideo::ramp::Bounds& bounds)
      : common_(common), flags_(flags), settings_(settings), bounds_(bounds) {}

  Measurement operator()(const Rung& rung) const {
    const auto log = folder_.path() / "events.ndjson", video = folder_.path() / "video.safetensors";
    std::error_code unused;
    std::filesystem::remove(log, unused);
    Measurement measured;
    measured.outcome = stepvideo::ramp::run_bounded(stepvideo::ramp::own_program(),
                                                    arguments(rung, log, video), bounds_, folder_.path());
    std::filesystem::remove(video, unused);
    if (std::filesystem::exists(log, unused) && !std::filesystem::is_empty(log, unused)) {
      measured.summary = trace::explain_run({log}).summary;
      if (common_.log_file)
        std::filesystem::copy_file(log, *common_.log_file, std::filesystem::copy_options::overwrite_existing,
                                   unused);
    }
    return measured;
  }

 private:
  Arguments arguments(const Rung& rung, const std::filesystem::path& log,
                      const std::filesystem::path& video) const {
    Arguments list{"generate"};
    // A value that begins with dashes, or with nothing, is read in one of the two forms only.
    const auto add = [&](const std::string& flag, const auto& value) {
      const std::string text = fmt::format("{}", value);
      if (text.empty())
        list.insert(list.end(), {flag, text});
      else
        list.push_back(flag + "=" + text);
    };
    add("--model", common_.model.string());
    add("--prompt", *flags_.words.prompt);
    add("--prompt-suffix", *flags_.words.prompt_suffix);
    add("--negative", *flags_.words.negative);
    add("--frames", rung.video.frames);
    add("--height", rung.video.height);
    add("--width", rung.video.width);
    add("--steps", rung.steps);
    add("--cfg-scale", settings_.cfg_scale);
    add("--time-shift", settings_.time_shift);
    add("--seed", flags_.seed);
    add("--device", place::to_string(common_.device));
    add("--precision", to_string(common_.numerics.precision));
    if (common_.threads) add("--threads", *common_.threads);
    add("--log-file", log.string());
    add("--output", video.string());
    list.push_back("--quiet");
    return list;
  }

  const CommonOptions& common_;
  const RampFlags& flags_;
  pipeline::SamplerSettings settings_;
  stepvideo::ramp::Bounds bounds_;
  TemporaryFolder folder_;
};

void print_row(const stepvideo::ramp::Row& row, const Model& model) {
  if (!row.predicted_seconds) {
    fmt::print("{:<34}  {:>10}  {:>10}  {:>5}  {:>8}  {:>9}\n", "size", "measured", "predicted", "ratio",
               "peak", "predicted");
  }
  fmt::print("{:<34}  {:>10}  {:>10}  {:>5}  {:>8}  {:>9}\n", to_string(row.rung), seconds_text(row.seconds),
             row.predicted_seconds ? seconds_text(*row.predicted_seconds) : "-",
             row.predicted_seconds ? fmt::format("{:.2f}", row.seconds / *row.predicted_seconds) : "-",
             bytes_text(row.peak_bytes), row.predicted_bytes ? bytes_text(*row.predicted_bytes) : "-");
  if (!row.predicted_seconds) {
    std::string factors;
    for (const auto& stage : row.stages)
      if ((stage.name == "denoise" || stage.name == "decode") && model.stage_seconds.contains(stage.name))
        factors += fmt::format("{}{} took {:.2f} times", factors.empty() ? "" : ", ", stage.name,
                               stage.seconds / model.stage_seconds.at(stage.name));
    fmt::print(
        "  this size calibrates: {} what the cost model says of this machine; later sizes are judged by "
        "what was measured before them\n",
        factors);
  }
  for (const std::string& note : row.notes) fmt::print("  note: {}\n", note);
  std::cout << std::flush;
}

std::string interval_text(const stepvideo::ramp::Estimate& estimate) {
  return fmt::format("{} ({} to {})", seconds_text(estimate.value), seconds_text(estimate.low),
                     seconds_text(estimate.high));
}

void print_result(const Climb& climb, const Rung& full, const stepvideo::ramp::Limits& limits) {
  if (climb.end == Climb::End::complete)
    fmt::print("\nno surprise in {} sizes\n", climb.rows.size());
  else
    fmt::print("\nstopped: {}\n", climb.reason);
  if (climb.stages.empty()) return fmt::print("nothing was learned: no size ran to its end\n");
  fmt::print("the request itself, {}: {}, 90 % of runs like these between; peak {}{}\n", to_string(full),
             interval_text(climb.total), bytes_text(climb.peak_bytes),
             climb.peak_bytes > limits.bounds.bytes
                 ? fmt::format(", over --memory-limit {}", bytes_text(limits.bounds.bytes))
                 : "");
  for (const auto& [name, estimate] : climb.stages)
    if (estimate.value > 0.02 * climb.total.value) fmt::print("  {}: {}\n", name, interval_text(estimate));
}

/// What the largest size took, over what the cost model says of it, for the forecasts and logs of later runs.
void keep_calibration(const Climb& climb, const CommonOptions& common,
                      const std::function<Model(const Rung&)>& model) {
  if (climb.rows.empty()) return;
  const stepvideo::ramp::Row& row = climb.rows.back();
  const Model planned = model(row.rung);
  plan::Calibration calibration;
  for (const auto& stage : row.stages)
    if (const auto seconds = planned.stage_seconds.find(stage.name); seconds != planned.stage_seconds.end())
      calibration[stage.name] = stage.seconds / seconds->second;
  try {
    plan::write_calibration(calibration_key(common, common.numerics.precision), calibration);
    fmt::print(
        "{} keeps how this machine compares with the plan: forecasts and predictions of later runs use it\n",
        plan::calibration_file().string());
  } catch (const Error& error) {
    fmt::print("how this machine compares with the plan could not be kept: {}\n", error.what());
  }
}

void require_positive(const char* flag, double value, double least, const char* unit) {
  require(value > least,
          [&] { return fmt::format("--{} is {}; more than {}{} works", flag, value, least, unit); });
}

}  // namespace

void ramp(const Arguments& arguments) {
  RampFlags flags;
  FlagParser parser("ramp", "a request at rising sizes: what it will cost, before it is run");
  flags.words.declare(parser.common());
  parser.flag("time-limit", flags.time_limit, "seconds that each size may take [30]")
      .flag("memory-limit", flags.memory_limit,
            "GB of the host that each size may hold [this machine's memory]")
      .flag("factor", flags.factor, "a stage that takes so many times its prediction is a surprise [2]")
      .require("prompt")
      .everyday({"model", "prompt", "frames", "width", "height", "steps", "time-limit", "memory-limit",
                 "factor", "device", "precision", "threads"});
  flags.sampling.declare(parser);
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  require_positive("time-limit", flags.time_limit, 0, " seconds");
  require_positive("memory-limit", flags.memory_limit.value_or(1), 0, " GB");
  require_positive("factor", flags.factor, 1, "");
  const auto defaults = io::read_generation_defaults(common.model);
  flags.words.complete(defaults);
  if (flags.sampling.seed) flags.seed = settle(*flags.sampling.seed, {}, false);
  const auto settings = flags.sampling.settings(defaults);
  const Rung full{flags.sampling.video(defaults, common), settings.steps};
  require(full.steps >= 1, [&] { return fmt::format("steps is {}; 1 or more works", full.steps); });
  if (common.log_file) EventLog(*common.log_file, 0, EventLog::Clock::now());

  const auto arithmetic =
      common.numerics.precision == Precision::fp32 ? plan::Arithmetic::fp32 : plan::Arithmetic::bf16;
  plan::Request request = trace::request_here(common.place, common.model, full.video, full.steps, arithmetic);
  const auto model = [&](const Rung& rung) {
    request.video = rung.video;
    request.steps = rung.steps;
    const plan::Cost cost = plan::cost_of(request, {});
    return Model{trace::expected_stage_seconds(cost), cost.peak_bytes()};
  };
  constexpr double gigabyte = 1e9;
  const stepvideo::ramp::Limits limits{
      .bounds = {flags.time_limit,  // what a process holds lies on the host, also where a GPU does the work
                 flags.memory_limit ? *flags.memory_limit * gigabyte
                                    : plan::load_hardware("cpu").memory_bytes},
      .surprise_factor = flags.factor};
  if (!common.is_quiet)
    fmt::print("{} sizes on the way to {}; each may take {} and hold {}\n\n",
               stepvideo::ramp::ladder(full).size(), to_string(full), seconds_text(limits.bounds.seconds),
               bytes_text(limits.bounds.bytes));
  std::cout << std::flush;

  catch_interrupts(std::chrono::milliseconds(1800));  // the process that is measured ends first
  const SizeRunner runner(common, flags, settings, limits.bounds);
  const Climb climb = stepvideo::ramp::climb(full, limits, model, std::ref(runner), [&](const auto& row) {
    if (!common.is_quiet) print_row(row, model(row.rung));
  });
  print_result(climb, full, limits);
  keep_calibration(climb, common, model);
  if (common.place.is_gpu())
    fmt::print("{} holds {} of {} then, by the plan; what is said above is memory of the host\n",
               common.place.name(), bytes_text(model(full).peak_bytes),
               bytes_text(request.hardware.memory_bytes));
  std::cout << std::flush;
  if (climb.end == Climb::End::surprise) throw Error("ramp stopped at a surprise in " + climb.reason);
  if (climb.end == Climb::End::interrupted) throw Interrupted("ramp was " + climb.reason);
}

}  // namespace stepvideo::commands
