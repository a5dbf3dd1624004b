// What a run did, from its events: stages, shares of time, who waited for whom, where it stopped.
#pragma once
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "trace/log.hpp"

namespace stepvideo::trace {

/// One stage on one rank; visits of the same name are added up. Times are seconds.
struct StageOnRank {
  std::string name;
  int rank = 0;
  double begin = 0;  ///< of the latest visit
  double seconds = 0;
  std::optional<double> predicted_seconds = {};
  bool is_open = false, has_failed = false;
  std::vector<double> steps = {};
  double exposed_seconds = 0;  ///< collectives that nothing hid, without waiting for late ranks
  double waited_seconds = 0;   ///< in collectives, until the last rank had come
  double collective_predicted_seconds = 0, collective_bytes = 0;
  std::optional<double> cpu_seconds = {};
  std::uint64_t involuntary_switches = 0, bytes = 0, peak_bytes = 0;

  /// Whether the stage reads or writes files rather than computes: by its name's first word.
  bool is_io() const;
};

/// How a rank spent the run; the four add up to the run's seconds.
struct Shares {
  int rank = 0;
  double compute = 0, exposed_communication = 0, io = 0, idle = 0;
};

/// A stage over all ranks: it takes as long as on its slowest rank.
struct StageSummary {
  std::string name;
  std::vector<StageOnRank> ranks;

  const StageOnRank& slowest() const;
  const StageOnRank& fastest() const;
  double seconds() const { return slowest().seconds; }
  std::optional<double> predicted_seconds() const;
  std::uint64_t peak_bytes() const;
};

/// How far a rank came. Greater is further: stages begun, then within the last one steps, collectives
/// finished, operations entered.
using Position = std::tuple<int, int, int, int>;

struct LastEvent {
  int rank = 0;
  double time = 0;
  std::string text;  ///< "step 12 of stage denoise"
  Position position;
  std::string open_stage;              ///< empty when every stage had ended
  std::optional<std::string> entered;  ///< an operation that was entered and not left
  bool is_cut_line = false;
};

/// A warning or an error of the log.
struct Message {
  int rank = 0;
  double time = 0;
  bool is_error = false;
  std::string stage, text;
};

/// The rank that others waited for, and how long in all.
struct Straggler {
  int rank = 0;
  double caused_seconds = 0;  ///< for each collective, what the rank that waited longest waited
  std::size_t last_to_come = 0, collectives = 0;
};

struct Summary {
  enum class State { finished, failed, cut };

  State state = State::finished;
  double begin = 0, end = 0;  ///< on the reference clock
  std::vector<StageSummary> stages;
  std::vector<Shares> shares;
  std::vector<LastEvent> last_events;
  std::vector<int> behind;         ///< ranks that came less far than others, ascending
  std::vector<int> missing_ranks;  ///< that the run had and no log speaks of
  std::vector<Message> messages;
  std::optional<Straggler> straggler;  ///< when one rank is late for most collectives
  std::map<std::string, std::string> facts;

  double seconds() const { return end - begin; }
  double fact(const std::string& name, double fallback = 0) const;
};

/// `run` is aligned (clock.hpp).
Summary summarize(const Run& run);

}  // namespace stepvideo::trace
