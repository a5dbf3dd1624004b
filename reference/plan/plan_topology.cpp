#include "plan/plan_topology.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "plan/remedies.hpp"
#include "plan/text.hpp"

namespace stepvideo::plan {
namespace {

/// The part of a step in which one topology spends more than another, with both shares of it.
std::string difference(const Cost& best, const Cost& other) {
  struct Part {
    const char* name;
    double best, other;
  };
  const Part parts[] = {
      {"computation on its busiest rank takes", best.compute_seconds, other.compute_seconds},
      {"collectives that nothing hides take", best.exposed_seconds, other.exposed_seconds},
      {"weights on their way take", best.stream_seconds, other.stream_seconds}};
  const Part& part = *std::ranges::max_element(parts, {}, [](const Part& p) { return p.other - p.best; });
  return fmt::format("{} {} s a step instead of {}", part.name, short_number(part.best),
                     short_number(part.other));
}

std::string reason(const Plan& plan) {
  const Cost& best = plan.topologies.front();
  std::string text = fmt::format("{} needs {:.1f} of {:.1f} GiB, most in the phase {}",
                                 to_text(best.topology), best.peak_bytes() / gibibyte,
                                 plan.request.hardware.memory_bytes / gibibyte, best.peak_phase().name);
  if (plan.topologies.size() == 1)
    return text + (plan.gpus == 1 ? "; one rank has one topology" : "; the rules allow no other");
  const Cost& next = plan.topologies[1];
  if (!plan.fits(next)) return text + "; no other topology fits";
  const double gain = next.total_seconds / best.total_seconds - 1;
  if (gain < 1e-4) return text + fmt::format("; {} is as fast and holds more", to_text(next.topology));
  return text + fmt::format("; it is {} % faster than {}, the next: {}", short_number(100 * gain),
                            to_text(next.topology), difference(best, next));
}

void require_request(const Request& request, int gpus) {
  require(gpus >= 1 && gpus <= largest_gpus,
          [&] { return fmt::format("--gpus is {}; 1 to {} works", gpus, largest_gpus); });
  require(request.steps >= 1 && request.steps <= largest_steps,
          [&] { return fmt::format("--steps is {}; 1 to {} works", request.steps, largest_steps); });
  require_video_on_grid(request.video);
}

}  // namespace

void list_topologies(const CostModel& model, int gpus, std::vector<Cost>& allowed,
                     std::vector<Forbidden>* forbidden) {
  for_each_topology(gpus, [&](Topology topology) {
    std::string rule = rule_against(model.request(), topology);
    if (!rule.empty()) {
      topology.sharding = Sharding::uneven;
      rule = rule_against(model.request(), topology);
    }
    if (rule.empty())
      allowed.push_back(model(topology));
    else if (forbidden != nullptr)
      forbidden->push_back({topology, rule});
  });
}

std::optional<Cost> best_fitting(const CostModel& model, int gpus) {
  if (model.least_bytes() > model.request().hardware.memory_bytes) return {};
  std::vector<Cost> all;
  list_topologies(model, gpus, all, nullptr);
  std::optional<Cost> best;
  for (Cost& cost : all)
    if (cost.peak_bytes() <= model.request().hardware.memory_bytes &&
        (!best || cost.total_seconds < best->total_seconds))
      best = std::move(cost);
  return best;
}

const Cost* Plan::best() const {
  return topologies.empty() || !fits(topologies.front()) ? nullptr : &topologies.front();
}

Plan plan_topology(const Request& request, int gpus) {
  require_request(request, gpus);
  const CostModel model(request);
  Plan plan{.request = request, .gpus = gpus};
  list_topologies(model, gpus, plan.topologies, &plan.forbidden);
  // Those that do not fit by what they lack: the nearest to fitting first.
  std::ranges::stable_sort(plan.topologies, {}, [&](const Cost& cost) {
    return std::tuple(!plan.fits(cost), plan.fits(cost) ? cost.total_seconds : cost.peak_bytes(),
                      cost.peak_bytes(), cost.wire_bytes);
  });
  if (plan.best() != nullptr)
    plan.reason = reason(plan);
  else
    plan.remedies = find_remedies(model, gpus);
  return plan;
}

namespace {

/// How far two topologies are apart: degrees that differ, then by how much.
std::pair<int, double> distance(Topology a, Topology b) {
  int differing = 0;
  double steps = 0;
  for (const auto degree : {&Topology::guidance, &Topology::tensor, &Topology::ulysses, &Topology::ring}) {
    differing += a.*degree != b.*degree;
    steps += std::abs(std::log2(static_cast<double>(a.*degree) / (b.*degree)));
  }
  return {differing + (a.sharding != b.sharding), steps};
}

}  // namespace

void require_topology(const Request& request, Topology topology) {
  const std::string rule = rule_against(request, topology);
  if (rule.empty()) return;
  const Plan plan = plan_topology(request, static_cast<int>(topology.ranks()));
  const auto nearest = std::ranges::min_element(
      plan.topologies, {}, [&](const Cost& cost) { return distance(cost.topology, topology); });
  throw RequestError(fmt::format("--topology {}: {}; {}", to_string(topology), rule,
                                 nearest == plan.topologies.end()
                                     ? fmt::format("no topology of {} ranks works", topology.ranks())
                                     : "the nearest that works is " + to_string(nearest->topology)));
}

Cost require_plan(const Request& request, int gpus, std::optional<Topology> topology) {
  Plan plan = plan_topology(request, gpus);
  if (topology) {
    require_topology(request, *topology);
    plan.topologies = {cost_of(request, *topology)};
  }
  if (const Cost* const best = plan.best()) return *best;
  require(!plan.topologies.empty(), [&] {
    return fmt::format("--gpus {}: no topology is allowed for {}, for {}", gpus, to_string(request.video),
                       plan.forbidden.front().rule);
  });
  const Cost& nearest = plan.topologies.front();
  const std::string device = request.hardware.is_host ? "this machine" : "one " + request.hardware.name;
  std::string remedy =
      fmt::format("{} with more memory works", request.hardware.is_host ? "one" : "a device");
  if (!plan.remedies.empty()) {
    const Remedy& first = plan.remedies.front();
    remedy = fmt::format("{} works ({:.1f} GiB), as do smaller --frames, --width or --height", first.change,
                         first.cost.peak_bytes() / gibibyte);
  }
  throw RequestError(fmt::format("{} needs {:.1f} GiB of memory in the phase {} and {} has {:.1f}; {}",
                                 to_string(request.video), nearest.peak_bytes() / gibibyte,
                                 nearest.peak_phase().name, device, request.hardware.memory_bytes / gibibyte,
                                 remedy));
}

}  // namespace stepvideo::plan
