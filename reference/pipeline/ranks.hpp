// A run that several ranks share: how, and what is watched.
#pragma once
#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include <stepvideo/comm/flight_recorder.hpp>
#include <stepvideo/core/topology.hpp>

#include "event_log.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// When ranks wait for one of them: a collective counts as lost after `factor` times what it and the
/// computation before it are predicted to take, or took in the slowest step so far, plus `floor_seconds`.
struct Deadlines {
  double factor = 3, floor_seconds = 5;
  double step_seconds = 0;  ///< predicted for a step
  int layers = 1;           ///< in which it is spent
};

struct Ranks {
  Topology topology = {};
  Deadlines deadlines = {};
  /// Rank 0's log; the others' lie beside it.
  std::optional<std::filesystem::path> log_file = {};
  RunFacts facts = {};  ///< that the others' logs tell
};

/// Where a replica's log is: replica 0's has the name that was given, and replica 2's rank 0 writes
/// "run.replica2.ndjson".
std::filesystem::path replica_log_file_of(const std::filesystem::path& given, int replica);

/// The progress of a rank other than 0: a log where one is kept, and no text.
Progress rank_progress(const Ranks& ranks, int rank, bool shares_process);

/// The deadlines of one rank's collectives, from what its recorder says of where it is.
class RankDeadline {
 public:
  RankDeadline(const Deadlines& deadlines, const FlightRecorder& recorder)
      : deadlines_(deadlines), recorder_(&recorder) {}

  FlightClock::duration operator()(std::string_view op, const Group& group, std::size_t bytes) const;

 private:
  /// Of a step in which weights come from the disk and memory is touched first.
  static constexpr double first_step_factor = 10;

  Deadlines deadlines_;
  const FlightRecorder* recorder_;
  mutable int step_ = -1, steps_ = 0;
  mutable double slowest_seconds_ = 0;  // of the steps so far
  mutable FlightClock::time_point step_begin_{};
};

/// Writes a rank's collectives into its log, as events of the stage "denoise". Any thread may call it.
class FlightLog {
 public:
  explicit FlightLog(const FlightRecorder& recorder) : recorder_(&recorder) {}

  /// Those that ended since the last call. `is_over`: the one that the rank is in or failed in as well, as
  /// begun.
  void write(Progress& progress, bool is_over = false);

 private:
  const FlightRecorder* recorder_;
  std::mutex mutex_;
  long long next_ = 0;
};

}  // namespace stepvideo::pipeline
