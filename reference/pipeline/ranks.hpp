// A run that several ranks share: how, and what is watched.
#pragma once
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

/// How ranks on GPUs exchange.
struct ExchangeOptions {
  enum class Kind {
    automatic,  ///< copies where all ranks are of one process, or else NCCL
    copies,
    nccl
  };

  Kind kind = Kind::automatic;
  int nccl_ctas = 0;                  ///< multiprocessors that a communicator of NCCL's takes; 0: as it likes
  std::size_t nccl_buffer_bytes = 0;  ///< of each of NCCL's channels; 0: the environment's, or its own
};

/// "auto", "copies", "nccl". Throws RequestError naming --exchange.
ExchangeOptions::Kind parse_exchange(std::string_view text);

struct Ranks;

/// The progress of ranks other than 0 that are threads of this process: a log where one is kept, and no text.
/// A run has one, so that each rank has one log throughout.
class RankLogs {
 public:
  /// Made when first asked for. Any thread may ask.
  Progress& of(const Ranks& ranks, int rank);

 private:
  std::mutex mutex_;
  std::map<int, Progress> by_rank_;
};

struct Ranks {
  Topology topology = {};        ///< of those that share the transformer
  bool on_gpus = false;          ///< or on the CPU
  bool streams_weights = false;  ///< of one rank on a GPU that has no room for all of them
  Deadlines deadlines = {};
  ExchangeOptions exchange = {};
  int decoders = 1;                ///< of the ranks, from 0 on, that decode videos together
  double decode_turn_seconds = 0;  ///< predicted for a chunk on each of them
  /// Rank 0's log; the others' lie beside it.
  std::optional<std::filesystem::path> log_file = {};
  RunFacts facts = {};  ///< that the others' logs tell
  std::shared_ptr<RankLogs> logs = std::make_shared<RankLogs>();

  /// Of a decode, whose steps are turns: each decoder has a chunk.
  Deadlines decode_deadlines() const {
    return {deadlines.factor, deadlines.floor_seconds, decode_turn_seconds};
  }
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

/// Writes a rank's collectives from now on into its log, as events of a stage. Any thread may call it.
class FlightLog {
 public:
  FlightLog(const FlightRecorder& recorder, std::string stage)
      : recorder_(&recorder), stage_(std::move(stage)), next_(recorder.count()) {}

  /// Those that ended since the last call. `is_over`: the one that the rank is in or failed in as well, as
  /// begun.
  void write(Progress& progress, bool is_over = false);

 private:
  const FlightRecorder* recorder_;
  std::string stage_;
  std::mutex mutex_;
  long long next_;
};

}  // namespace stepvideo::pipeline
