// The event log: one JSON object a line, for programs that watch a run.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

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
  std::optional<double> seconds = {}, predicted_seconds = {};
  std::optional<std::uint64_t> bytes = {}, peak_bytes = {};
  std::optional<std::string> message = {};  ///< of a warning or an error
};

/// Appends events to a file and flushes each, so that a run that dies leaves all but its last line whole. May
/// be shared by threads. A default-constructed log writes nothing.
class EventLog {
 public:
  using Clock = std::chrono::steady_clock;

  EventLog() = default;
  /// Replaces the file. Throws RequestError naming --log-file when it cannot be created.
  EventLog(const std::filesystem::path& path, int rank, Clock::time_point start);

  void write(const Event& event);

 private:
  std::shared_ptr<spdlog::logger> logger_;
  int rank_ = 0;
  Clock::time_point start_;
};

}  // namespace stepvideo
