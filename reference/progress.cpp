#include "progress.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <thread>

#include <fmt/format.h>
#include <omp.h>
#include <sys/resource.h>
#include <unistd.h>

#include "exit_code.hpp"
#include "io/printable.hpp"
#include "trace/units.hpp"

namespace stepvideo {
namespace {

using trace::bytes_text, trace::seconds_text;

double seconds_since(EventLog::Clock::time_point begin) {
  return std::chrono::duration<double>(EventLog::Clock::now() - begin).count();
}

/// What explains a run's speed later: how many threads on how many cores, how they wait, the memory.
RunFacts machine_facts(int ranks) {
  RunFacts facts{{"threads", std::int64_t{omp_get_max_threads()}},
                 {"cores", static_cast<std::int64_t>(std::thread::hardware_concurrency())},
                 {"memory_bytes", std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE)},
                 {"ranks", std::int64_t{ranks}},
                 {"process", std::int64_t{getpid()}}};
  if (const char* const policy = std::getenv("OMP_WAIT_POLICY")) facts["wait_policy"] = std::string(policy);
  return facts;
}

}  // namespace

ProcessorTime ProcessorTime::now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), static_cast<std::uint64_t>(usage.ru_nivcsw)};
}

void Stage::step(std::optional<double> predicted_seconds) {
  ++steps_done_;
  if (!first_step_seconds_) first_step_seconds_ = seconds_since(progress_.start_);
  if (!predicted_seconds && predicted_seconds_ && steps_ > 0)
    predicted_seconds = *predicted_seconds_ / steps_;
  const std::uint64_t moved = bytes_ - std::exchange(bytes_before_step_, bytes_);
  log({.kind = Event::Kind::step,
       .step = steps_done_,
       .seconds = seconds_since(step_begin_),
       .predicted_seconds = predicted_seconds,
       .bytes = moved > 0 ? std::optional(moved) : std::nullopt,
       .peak_bytes = progress_.peak_since_last_step(*this)});
  step_begin_ = Clock::now();
  progress_.running_->step(steps_done_);
  progress_.show_step(*this);
  if (steps_ == 0) throw_if_interrupted(fmt::format("in stage '{}'", name_));
  if (steps_done_ < steps_) throw_if_interrupted(fmt::format("after step {} of {}", steps_done_, steps_));
}

void Stage::skip(int steps) {
  steps_done_ = steps_skipped_ = steps;
  progress_.running_->skip(steps);
}

void Stage::progressed(std::uint64_t bytes, std::uint64_t all) {
  progressed_bytes_ += bytes;
  progress_.show_bytes(*this, all);
  throw_if_interrupted(fmt::format("in stage '{}'", name_));
}

void Stage::warn(const std::string& message) {
  progress_.print_line("warning: " + message);
  log({.kind = Event::Kind::warning, .message = message});
}

void Stage::log(Event event) {
  event.stage = name_;
  progress_.events_.write(event);
}

Progress::Progress(const Options& options) {
  if (options.log_file) {
    events_ = EventLog(*options.log_file, options.rank, start_);
    events_.describe(machine_facts(options.ranks));
  }
  if (!options.measures_peak) peak_memory_ = std::nullopt;
  const bool is_heard = !options.is_quiet && options.rank == 0;
  if (is_heard && options.output != nullptr)
    display_ = std::make_unique<Display>(
        *options.output, options.terminal, [] { return 0; }, options.clock);
  else if (is_heard)
    display_ = std::make_unique<Display>(std::cerr, terminal_of_errors(), columns_of_errors, options.clock);
  if (options.answers_interrupts) answer_interrupts();
}

void Progress::answer_interrupts() {
  on_interrupt_ = std::make_unique<OnInterrupt>([running = running_.get(), display = display_.get()] {
    if (display != nullptr)
      display->print(running->stop_text());
    else
      say_failure(running->stop_text());
  });
  last_words_ = std::make_unique<LastWords>(
      [running = running_.get(), display = display_.get(), events = events_](const std::string& why) mutable {
        if (display != nullptr) display->leave();
        events.write({.kind = Event::Kind::error, .stage = running->name(), .message = why});
        return std::string();
      });
}

Stage Progress::begin(const std::string& name, int steps) {
  Stage stage(*this, name, steps);
  try {
    throw_if_interrupted(fmt::format("before stage '{}'", name));
  } catch (const Interrupted& interrupt) {
    fail(stage, interrupt.what());
    throw;
  }
  peak_is_per_stage_ = (!peak_memory_ || peak_memory_->reset()) && peak_is_per_stage_;
  if (const auto expected = predicted_seconds_.find(name); expected != predicted_seconds_.end())
    stage.predicted_seconds_ = expected->second;
  running_->begin(name, steps,
                  stage.predicted_seconds_ && steps > 0 ? std::optional(*stage.predicted_seconds_ / steps)
                                                        : std::nullopt);
  stage.log({.kind = Event::Kind::begin, .predicted_seconds = stage.predicted_seconds_});
  if (display_)
    display_->show([text = steps > 0 ? fmt::format("{}: {} step{}", name, steps, steps == 1 ? "" : "s")
                                     : name](double later) {
      return later > 0 ? text + ", " + seconds_text(later) : text;
    });
  return stage;
}

/// Of the step where the system can forget the peak, else of all so far; the stage keeps the largest. Nothing
/// where no log tells it: to ask takes a fifth of a millisecond.
std::optional<std::uint64_t> Progress::peak_since_last_step(Stage& stage) {
  if (!events_.is_on() || !peak_memory_) return {};
  const std::uint64_t peak = peak_memory_->bytes();
  stage.peak_bytes_ = std::max(stage.peak_bytes_, peak);
  if (peak_is_per_stage_) peak_memory_->reset();
  return peak;
}

std::uint64_t Progress::peak_bytes(const Stage& stage) const {
  return std::max(stage.peak_bytes_, peak_memory_ ? peak_memory_->bytes() : 0);
}

bool Progress::is_time_to_show(Stage& stage) const {
  using namespace std::chrono_literals;
  if (!display_) return false;
  const auto pause = display_->is_terminal() ? Clock::duration(100ms) : Clock::duration(5s);
  if (Clock::now() - stage.last_shown_ < pause) return false;
  stage.last_shown_ = Clock::now();
  return true;
}

void Progress::show_step(Stage& stage) {
  if (!is_time_to_show(stage)) return;
  const double elapsed = seconds_since(stage.begin_);
  std::string text = fmt::format("{}: step {}", stage.name_, stage.steps_done_);
  if (stage.steps_ > 0) text += fmt::format(" of {}", stage.steps_);
  const double left =
      elapsed / (stage.steps_done_ - stage.steps_skipped_) * (stage.steps_ - stage.steps_done_);
  display_->show([=](double later) {
    std::string line = text + ", " + seconds_text(elapsed + later);
    if (left > 0) line += fmt::format(", about {} left", seconds_text(std::max(0.0, left - later)));
    return line;
  });
}

void Progress::show_bytes(Stage& stage, std::uint64_t all) {
  if (!is_time_to_show(stage)) return;
  const double elapsed = seconds_since(stage.begin_), done = static_cast<double>(stage.progressed_bytes_);
  display_->show([text = fmt::format("{}: {} of {}, {}/s", stage.name_, bytes_text(done),
                                     bytes_text(static_cast<double>(all)),
                                     bytes_text(done / std::max(elapsed, 1e-3)))](double) { return text; });
}

void Progress::end(const Stage& stage) {
  running_->end();
  const StageCost row{stage.name_, seconds_since(stage.begin_), peak_bytes(stage), stage.first_step_seconds_};
  stages_.push_back(row);
  const ProcessorTime used = ProcessorTime::now();
  events_.write(
      {.kind = Event::Kind::end,
       .stage = row.name,
       .seconds = row.seconds,
       .predicted_seconds = stage.predicted_seconds_,
       .cpu_seconds = used.seconds - stage.processor_begin_.seconds,
       .involuntary_switches = used.involuntary_switches - stage.processor_begin_.involuntary_switches,
       .bytes = stage.bytes_ > 0 ? std::optional(stage.bytes_) : std::nullopt,
       .peak_bytes = row.peak_bytes});
  print_line(fmt::format("{}: done in {}", row.name, seconds_text(row.seconds)));
}

void Progress::fail(const Stage& stage, const std::string& message) {
  events_.write({.kind = Event::Kind::error,
                 .stage = stage.name_,
                 .seconds = seconds_since(stage.begin_),
                 .peak_bytes = peak_bytes(stage),
                 .message = message});
  running_->end();
  if (display_) display_->leave();
}

void Progress::print_line(const std::string& text) const {
  if (display_) display_->print(io::printable_lines(text));
}

void Progress::print_summary() const {
  if (!display_) return;
  std::vector<StageCost> rows;
  for (const StageCost& stage : stages_) {
    const auto row = std::ranges::find(rows, stage.name, &StageCost::name);
    if (row == rows.end()) {
      rows.push_back(stage);
    } else {
      row->seconds += stage.seconds;
      row->peak_bytes = std::max(row->peak_bytes, stage.peak_bytes);
    }
  }
  std::size_t width = std::string_view("stage").size();
  for (const StageCost& row : rows) width = std::max(width, row.name.size());
  double total = 0;
  std::uint64_t peak = 0;
  print_line(fmt::format("{:<{}}  {:>9}  {:>9}", "stage", width, "seconds", "peak"));
  for (const StageCost& row : rows) {
    print_line(fmt::format("{:<{}}  {:>9.2f}  {:>9}", row.name, width, row.seconds,
                           bytes_text(static_cast<double>(row.peak_bytes))));
    total += row.seconds;
    peak = std::max(peak, row.peak_bytes);
  }
  print_line(
      fmt::format("{:<{}}  {:>9.2f}  {:>9}", "total", width, total, bytes_text(static_cast<double>(peak))));
  if (!peak_is_per_stage_)
    print_line("the peak is the process maximum so far: this system cannot reset it per stage");
  for (const auto& [name, text] : notes_) print_line(text);
}

}  // namespace stepvideo
