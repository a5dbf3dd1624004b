// A plan for a reader and for a program.
#pragma once
#include <string>

#include <nlohmann/json.hpp>

#include "plan/plan_topology.hpp"

namespace stepvideo::plan {

/// Topologies best first, the best one's phases and collectives, what the rules forbid, and remedies.
std::string to_table(const Plan& plan);

/// Everything the plan knows; bytes, seconds and operations are plain numbers.
nlohmann::json to_json(const Plan& plan);

}  // namespace stepvideo::plan
