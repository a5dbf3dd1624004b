// A program run apart, under bounds: what kills it does not kill its caller.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace stepvideo::ramp {

struct Bounds {
  double seconds = 0;  ///< wall clock
  double bytes = 0;    ///< resident
};

struct ProcessOutcome {
  enum class End { exited, killed_by_signal, over_time, over_memory, interrupted };

  End end = End::exited;
  int code = 0;  ///< exit code, or the signal's number
  double seconds = 0;
  std::uint64_t peak_bytes = 0;  ///< resident at most
  std::string errors;            ///< the last line of its standard error
};

/// Runs the program with the arguments, standard input and output closed, and waits. Beyond a bound, or when
/// this process is interrupted, it gets SIGINT and two seconds later SIGKILL; it ends with its caller.
/// Throws Error when it cannot be started.
ProcessOutcome run_bounded(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                           const Bounds& bounds, const std::filesystem::path& scratch);

/// The running program's own file.
std::filesystem::path own_program();

}  // namespace stepvideo::ramp
