// What to change in a request that fits nowhere.
#pragma once
#include <optional>
#include <vector>

#include "plan/plan_topology.hpp"

namespace stepvideo::plan {

/// Every topology of `gpus` ranks that the rules allow, even where that works and uneven where not, with its
/// cost; the others, where wanted, with the rule.
void list_topologies(const CostModel& model, int gpus, std::vector<Cost>& allowed,
                     std::vector<Forbidden>* forbidden);

/// The fastest topology that fits.
std::optional<Cost> best_fitting(const CostModel& model, int gpus);

/// The smallest single changes with which the request fits: fewer frames, a lower size, a narrower precision,
/// weights streamed, more GPUs; where none is enough, streamed weights together with fewer frames or a lower
/// size. Empty when nothing helps.
std::vector<Remedy> find_remedies(const CostModel& model, int gpus);

}  // namespace stepvideo::plan
