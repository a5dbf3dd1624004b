// What explain prints.
#pragma once
#include <string>

#include "io/json.hpp"
#include "trace/clock.hpp"
#include "trace/summary.hpp"

namespace stepvideo::trace {

/// A run that was read, aligned and summed up.
struct Explained {
  Run run;  ///< on one clock
  std::vector<ClockOffset> offsets;
  Summary summary;
};

/// Reads the logs of one run (log.hpp), aligns and sums them up.
Explained explain_run(const std::vector<std::filesystem::path>& paths);

/// "finished", "stopped by an error", "cut short".
std::string state_text(Summary::State state);

/// Text for a terminal, lines of at most some 120 columns, and the same as JSON.
std::string to_text(const Explained& explained);
io::Json to_json(const Explained& explained);

/// Two runs, stage by stage: the second against the first, and which facts of the runs differ.
std::string compare_text(const Explained& first, const Explained& second);
io::Json compare_json(const Explained& first, const Explained& second);

}  // namespace stepvideo::trace
