// Several ranks' clocks become one.
#pragma once
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "trace/log.hpp"

namespace stepvideo::trace {

/// A collective as all its ranks know it: stage, step, layer, op, group, and which occurrence of these it is
/// on its rank.
using CollectiveKey = std::tuple<std::string, std::int64_t, std::int64_t, std::string, std::string, int>;

/// The collectives that a rank finished, in order.
std::vector<std::pair<CollectiveKey, const LoggedEvent*>> collectives_of(const RankLog& log);

/// How far a rank's clock stood ahead of the reference's, and how that was found.
struct ClockOffset {
  enum class Method { reference, collectives, start_time, assumed };

  int rank = 0;
  double seconds = 0;  ///< the rank's clock minus the reference's
  Method method = Method::reference;
  std::size_t collectives = 0;  ///< how many were compared
  double spread = 0;            ///< median distance from the median of those comparisons, seconds
};

/// Moves every event to the clock of the lowest rank and returns what was moved. A collective ends at one
/// moment on all its ranks, so the median difference of the common collectives' ends is the offset; ranks
/// without one are placed by their logs' wall-clock start (`run.start`), else taken to have started together.
/// The medians are of all common collectives: a rank that leaves some of them late does not move the clock.
std::vector<ClockOffset> align_clocks(Run& run);

/// One sentence about the offset.
std::string to_string(const ClockOffset& offset, int reference);

}  // namespace stepvideo::trace
