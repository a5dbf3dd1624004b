// Event logs, read back: one file may hold one rank or several, whole or cut short.
#pragma once
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "event_log.hpp"

namespace stepvideo::trace {

/// One line of a log. `time` is seconds on its rank's own clock until align_clocks() moves it.
struct LoggedEvent : Event {
  double time = 0;
};

/// What one rank wrote, ordered by time.
struct RankLog {
  int rank = 0;
  std::filesystem::path file = {};
  std::vector<LoggedEvent> events = {};
  std::map<std::string, std::string> facts = {};  ///< the scalars of its `run` object, as JSON text
  bool is_cut = false;                            ///< its last line was not whole
  std::size_t unknown_events = 0;                 ///< lines whose `event` no version so far writes

  /// A numeric fact, or `fallback` where the log does not tell.
  double fact(const std::string& name, double fallback = 0) const;
};

/// All ranks of one run, ordered by rank, each at least one event.
using Run = std::vector<RankLog>;

/// Reads the logs of one run. A folder stands for the *.ndjson files in it, the file of rank 0 alone for
/// those of all its ranks that lie beside it (log_file_of). Fields that are not known are ignored, a last
/// line that is not whole is left out. Throws RequestError naming file and line: not there, no whole event, a
/// line that is not a JSON object, a field missing or of the wrong kind, one rank in two files.
Run read_run(const std::vector<std::filesystem::path>& paths);
}  // namespace stepvideo::trace
