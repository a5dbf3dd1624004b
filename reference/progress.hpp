// What a run is doing: a line on the terminal, events for programs, a table at the end.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "display.hpp"
#include "event_log.hpp"
#include "interrupt.hpp"
#include "last_words.hpp"
#include "peak_memory.hpp"
#include "running_stage.hpp"

namespace stepvideo {

class Progress;

/// What this process used of the processors since it began, all threads together.
struct ProcessorTime {
  double seconds = 0;
  std::uint64_t involuntary_switches = 0;  ///< times a thread lost its core to somebody else

  static ProcessorTime now();
};

/// The stage that is running; made by Progress::stage().
class Stage {
 public:
  /// One more step is done; its event tells the peak memory and the bytes moved since the last one. Throws
  /// Interrupted when a signal came and it was not the last ("interrupted after step 12 of 50; ...").
  void step(std::optional<double> predicted_seconds = {});
  /// That many steps were done in an earlier run.
  void skip(int steps);
  /// A line for the reader and a warning in the event log; the run goes on.
  void warn(const std::string& message);
  /// Any other event: a collective, a layer. The stage's name is filled in.
  void log(Event event);
  /// The stage read or wrote that much; its end event carries the sum.
  void moved(std::uint64_t bytes) { bytes_ += bytes; }
  /// That many more bytes of `all` have come: a line for the reader, now and then, with their rate. Throws
  /// Interrupted when a signal came.
  void progressed(std::uint64_t bytes, std::uint64_t all);

 private:
  friend class Progress;
  using Clock = EventLog::Clock;
  Stage(Progress& progress, std::string name, int steps)
      : progress_(progress), name_(std::move(name)), steps_(steps) {}

  Progress& progress_;
  std::string name_;
  int steps_ = 0, steps_done_ = 0, steps_skipped_ = 0;
  std::optional<double> predicted_seconds_, first_step_seconds_;
  std::uint64_t bytes_ = 0, bytes_before_step_ = 0, peak_bytes_ = 0, progressed_bytes_ = 0;
  ProcessorTime processor_begin_ = ProcessorTime::now();
  Clock::time_point begin_ = Clock::now(), step_begin_ = begin_, last_shown_ = begin_;
};

/// What a stage that is over took.
struct StageCost {
  std::string name;
  double seconds = 0;
  std::uint64_t peak_bytes = 0;
  std::optional<double> first_step_seconds = {};  ///< from the run's start to the end of its first step here
};

class Progress {
 public:
  struct Options {
    bool is_quiet = false;                               ///< no text at all
    std::optional<std::filesystem::path> log_file = {};  ///< events go there
    int rank = 0;                                        ///< text comes from rank 0 only
    int ranks = 1;                                       ///< of the run
    bool measures_peak = true;           ///< of the process; of ranks that share one, one alone may
    bool answers_interrupts = false;     ///< says what becomes of the run, also where it is quiet
    std::ostream* output = nullptr;      ///< nullptr: standard error
    Terminal terminal = Terminal::none;  ///< of `output`; ignored without it
    std::chrono::milliseconds clock{0};  ///< shows the time of what is long that often
  };

  /// Throws RequestError naming --log-file when it cannot be written.
  explicit Progress(const Options& options);

  /// Runs `work(Stage&)` as the stage `name` of `steps` steps (0: it has none), and returns what it returns.
  /// Throws Interrupted, and does not begin, when a signal came: what the last stage made is published. An
  /// exception is logged as an error event and goes on. Stages follow one another; they do not nest.
  template <class Work>
  decltype(auto) stage(const std::string& name, int steps, Work&& work) {
    Stage stage = begin(name, steps);
    try {
      if constexpr (std::is_void_v<decltype(work(stage))>) {
        work(stage);
        end(stage);
      } else {
        decltype(auto) result = work(stage);
        end(stage);
        return result;
      }
    } catch (const std::exception& error) {
      fail(stage, error.what());
      throw;
    }
  }

  /// The stage `name` is predicted to take that long: its events say so, each step an equal part.
  void expect(const std::string& name, double seconds) { predicted_seconds_[name] = seconds; }
  /// Adds facts of the run to the event log's next line.
  void describe(RunFacts facts) { events_.describe(std::move(facts)); }
  /// An event outside of the stage that runs, from any thread.
  void log(const Event& event) { events_.write(event); }

  /// Whether draw() has a terminal to draw on.
  bool can_draw() const { return display_ && display_->can_draw(); }
  /// Puts lines above the line that tells the step, over those that were drawn last; what is told later stays
  /// below. Nothing where can_draw() is false.
  void draw(const std::vector<std::string>& lines) {
    if (display_) display_->draw(lines);
  }

  /// The stages that are over, in their order.
  const std::vector<StageCost>& stages() const { return stages_; }
  /// A line for the reader, between stages.
  void tell(const std::string& text) const { print_line(text); }
  /// A line for the summary, in the place of an earlier one of that name.
  void note(const std::string& name, const std::string& text) { notes_[name] = text; }
  /// The table of all stages: seconds, peak memory; stages of one name, as a batch has them, in one row. The
  /// notes stand below.
  void print_summary() const;

 private:
  friend class Stage;
  using Clock = EventLog::Clock;
  Stage begin(const std::string& name, int steps);
  void end(const Stage& stage);
  void fail(const Stage& stage, const std::string& message);
  std::optional<std::uint64_t> peak_since_last_step(Stage& stage);
  std::uint64_t peak_bytes(const Stage& stage) const;
  bool is_time_to_show(Stage& stage) const;
  void show_step(Stage& stage);
  void show_bytes(Stage& stage, std::uint64_t all);
  void print_line(const std::string& text) const;
  void answer_interrupts();

  Clock::time_point start_ = Clock::now();
  EventLog events_;
  std::optional<PeakMemory> peak_memory_ = PeakMemory();
  bool peak_is_per_stage_ = true;
  std::vector<StageCost> stages_;
  std::map<std::string, double> predicted_seconds_;
  std::map<std::string, std::string> notes_;
  std::unique_ptr<Display> display_;  // nullptr: quiet
  std::unique_ptr<RunningStage> running_ = std::make_unique<RunningStage>();
  std::unique_ptr<OnInterrupt> on_interrupt_;  // these use the others
  std::unique_ptr<LastWords> last_words_;
};

}  // namespace stepvideo
