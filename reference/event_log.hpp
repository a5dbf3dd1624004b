// The event log: one JSON object a line, for programs that watch a run.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace spdlog {
class logger;
}

namespace stepvideo {

/// One line of the log; what does not apply stays empty and is left out.
struct Event {
  enum class Kind { begin, end, step, collective, warning, error };

  Kind kind = Kind::step;
  std::string stage = {};
  std::optional<std::int64_t> step = {}, layer = {};
  std::optional<std::string> op = {};
  std::optional<std::string> group = {};  ///< of a collective: its ranks, where not all take part
  std::optional<double> seconds = {}, predicted_seconds = {};
  std::optional<double> exposed_seconds = {};  ///< of a collective: what no computation hid
  std::optional<double> cpu_seconds = {};      ///< of a stage's end: processor time of all threads
  std::optional<std::uint64_t> involuntary_switches = {};  ///< of a stage's end: cores taken from a thread
  std::optional<std::uint64_t> bytes = {}, peak_bytes = {};
  std::optional<std::string> message = {};  ///< of a warning or an error
  /// When it happened, where that is not when it is written.
  std::optional<std::chrono::steady_clock::time_point> at = {};
};

/// How the log spells each kind.
inline constexpr std::array<std::string_view, 6> event_kind_names{"begin",      "end",     "step",
                                                                  "collective", "warning", "error"};

/// What is true of a whole run: the request, threads, memory. Names are the log's.
using RunFacts = std::map<std::string, std::variant<std::int64_t, double, std::string>>;

/// Where a rank's log is: rank 0's has the name that was given, "run.ndjson", and rank 2's is
/// "run.rank2.ndjson".
std::filesystem::path log_file_of(const std::filesystem::path& given, int rank);

/// Appends events to a file and flushes each, so that a run that dies leaves all but its last line whole. May
/// be shared by threads. A default-constructed log writes nothing.
class EventLog {
 public:
  using Clock = std::chrono::steady_clock;

  EventLog() = default;
  /// Replaces the file, or waits for the reader of a named pipe. Throws RequestError naming --log-file when
  /// it cannot be created, Interrupted where a signal comes first.
  EventLog(const std::filesystem::path& path, int rank, Clock::time_point start);

  bool is_on() const { return logger_ != nullptr; }
  void write(const Event& event);
  /// Adds facts; the next line carries all that none carried yet, in its object `run`. The first has the
  /// wall-clock `start` (seconds since 1970), so that ranks without a common collective can be aligned. Not
  /// for several threads at once.
  void describe(RunFacts facts);

 private:
  std::shared_ptr<spdlog::logger> logger_;
  int rank_ = 0;
  Clock::time_point start_;
  RunFacts facts_;
};

}  // namespace stepvideo
