// Which topologies of a number of ranks are allowed, what each costs, and which is best.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "plan/cost_model.hpp"

namespace stepvideo::plan {

/// A topology that the rules forbid, and the rule.
struct Forbidden {
  Topology topology;
  std::string rule;
};

/// A change to the request with which it fits.
struct Remedy {
  std::string change;  ///< "--frames 136", "weights streamed from host memory", ...
  Cost cost;
};

struct Plan {
  Request request;
  int gpus = 1;
  std::vector<Cost> topologies = {};  ///< those that fit first, each group by total time
  std::vector<Forbidden> forbidden = {};
  std::string reason = {};            ///< why the first is best, where it fits
  std::vector<Remedy> remedies = {};  ///< where nothing fits

  bool fits(const Cost& cost) const { return cost.peak_bytes() <= request.hardware.memory_bytes; }
  /// nullptr when nothing fits.
  const Cost* best() const;
};

/// The most ranks and steps that are planned for.
inline constexpr int largest_gpus = 4096;
inline constexpr int largest_steps = 100'000;

/// Throws RequestError naming the flag when the request itself is wrong: counts below 1 or absurdly large, a
/// size off the grid, a precision that the device lacks. A request that fits nowhere is a plan with remedies.
Plan plan_topology(const Request& request, int gpus);

/// Throws RequestError naming --topology, the rule that it breaks, and the nearest one that works.
void require_topology(const Request& request, Topology topology);

/// The plan's best, or `topology` where one is given; refuses what fits nowhere: throws RequestError with the
/// peak, the phase that decides it, what the device has, and the cheapest remedy; and as require_topology.
Cost require_plan(const Request& request, int gpus, std::optional<Topology> topology = {});

}  // namespace stepvideo::plan
