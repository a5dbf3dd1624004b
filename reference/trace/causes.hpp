// Where a run's time differs from what was expected of it, and what is likely to have caused that.
#pragma once
#include <string>
#include <vector>

#include "trace/summary.hpp"

namespace stepvideo::trace {

/// One stage that took another time than expected.
struct Difference {
  std::string stage;
  double measured = 0, expected = 0;  ///< seconds
  std::string basis;                  ///< what was expected: "predicted", "at its usual step", ...
  std::string cause;

  double excess() const { return measured - expected; }
};

/// The stages' differences, largest first, at most `most`: against the log's predictions, or where it has
/// none against the stage's own usual step and a run without waiting. What is below 2 % or a millisecond is
/// none.
std::vector<Difference> largest_differences(const Summary& summary, std::size_t most = 3);

/// The same against another run's stages of the same names.
std::vector<Difference> largest_differences(const Summary& summary, const Summary& before,
                                            std::size_t most = 3);

/// The likely cause of `excess` seconds (positive: too slow) in a stage; always a sentence.
std::string likely_cause(const Summary& summary, const StageSummary& stage, double excess);

}  // namespace stepvideo::trace
