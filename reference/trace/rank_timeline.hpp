// One rank's events as stages and a position.
#pragma once
#include <vector>

#include "trace/summary.hpp"

namespace stepvideo::trace {

struct RankTimeline {
  std::vector<StageOnRank> stages;  ///< in the order in which they first began; collectives not yet added
  LastEvent last;
  std::vector<Message> messages;
};

RankTimeline timeline_of(const RankLog& log);

}  // namespace stepvideo::trace
