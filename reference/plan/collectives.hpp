// The collectives of one step, what they send, and how long they may take.
#pragma once
#include <vector>

#include "plan/cost_model.hpp"
#include "plan/rank_share.hpp"

namespace stepvideo::plan {

/// Computation on the busiest rank, that collectives hide behind or wait for.
struct StepTimes {
  double layer_seconds = 0;
  double attention_seconds = 0;  ///< of a layer
  double step_seconds = 0;
};

std::vector<CollectiveCost> collectives_of(const Request& request, Topology topology, const RankShare& share,
                                           const StepTimes& times);

}  // namespace stepvideo::plan
