// Many videos on many ranks: all ranks make each together, or groups of them make one each.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "plan/plan_topology.hpp"

namespace stepvideo::plan {

/// So many groups of ranks, each with the best topology of its number. On a host they divide its memory and
/// its processor.
struct ReplicaPlan {
  int replicas = 1;
  Cost cost;                 ///< of one video on one group
  double video_seconds = 0;  ///< with all groups at work

  double videos_an_hour() const;
  /// Of a batch; a group makes one video after the other.
  double seconds(int videos) const;
};

struct BatchPlan {
  int videos = 0;                      ///< 0 for no end of them
  std::vector<ReplicaPlan> ways = {};  ///< that fit, the best first: the shortest batch, or the most an hour
};

inline constexpr int largest_batch = 1'000'000;

/// Throws RequestError naming --prompts when that is below 1 or absurdly large.
BatchPlan plan_batch(const Request& request, int gpus, std::optional<int> videos = {});

/// A table, and whether replicas beat sharding; nothing where there is one way.
std::string to_table(const BatchPlan& batch);
nlohmann::json to_json(const BatchPlan& batch);

}  // namespace stepvideo::plan
