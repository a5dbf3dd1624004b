#include "plan/report.hpp"

#include <map>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "plan/text.hpp"

namespace stepvideo::plan {
namespace {

std::string shards(Topology topology) {
  return topology.sharding == Sharding::uneven ? "uneven" : "even";
}

/// Where a table's column, or a heading, says how it shards.
std::string degrees(Topology topology) {
  topology.sharding = Sharding::even;
  return to_text(topology);
}

std::string heading(const Plan& plan) {
  const Request& request = plan.request;
  const Work layer =
      layer_work(request.shapes.transformer,
                 LayerShare::whole(request.shapes.transformer, static_cast<double>(request.video.tokens())),
                 request.shapes.text_tokens());
  const double step = 2.0 * request.shapes.transformer.layers * layer.flops();
  return fmt::format(
      "{}, {} step{}, {} on {} x {}{}\n{} tokens, {} a guided step ({} % attention), transformer of {} "
      "B "
      "parameters\n",
      to_string(request.video), request.steps, request.steps == 1 ? "" : "s", to_string(request.arithmetic),
      plan.gpus, request.hardware.name, plan.gpus > 1 ? " over " + request.link.name : "",
      grouped(request.video.tokens()), operations(step),
      short_number(100 * layer.attention_flops / layer.flops()),
      short_number(count_parameters(request.shapes).transformer / 1e9));
}

std::string topology_table(const Plan& plan) {
  std::string text = fmt::format("\n  {:<36} {:<6} {:>9} {:>9} {:>13} {:>8} {:>8} {:>8}\n", "topology",
                                 "shards", plan.request.hardware.is_host ? "GiB" : "GiB a GPU", "s a step",
                                 "in all", "GB sent", "exposed", "uneven");
  bool fitted = true;
  for (const Cost& cost : plan.topologies) {
    if (fitted && !plan.fits(cost)) {
      text += fmt::format("  these need more than the {:.1f} GiB there are:\n",
                          plan.request.hardware.memory_bytes / gibibyte);
      fitted = false;
    }
    text += fmt::format("{} {:<36} {:<6} {:>9.1f} {:>9} {:>13} {:>8} {:>6.1f} % {:>6.1f} %\n",
                        &cost == plan.best() ? '*' : ' ', degrees(cost.topology), shards(cost.topology),
                        cost.peak_bytes() / gibibyte, short_number(cost.step_seconds),
                        duration(cost.total_seconds), short_number(cost.wire_bytes / gigabyte),
                        100 * cost.exposed_seconds / cost.step_seconds, 100 * cost.imbalance);
  }
  return text;
}

std::string phase_table(const Cost& cost) {
  std::string text =
      fmt::format("\n  {:<14} {:>5} {:>11} {:>15} {:>11} {:>9} {:>13} {:>9}\n", "phase", "ranks",
                  "weights GiB", "activations GiB", "buffers GiB", "in all", "time", "work");
  for (const PhaseCost& phase : cost.phases)
    text += fmt::format("{} {:<14} {:>5} {:>11.2f} {:>15.2f} {:>11.2f} {:>9.2f} {:>13} {:>11}\n",
                        &phase == &cost.peak_phase() ? '>' : ' ', phase.name, phase.ranks,
                        phase.weight_bytes / gibibyte, phase.activation_bytes / gibibyte,
                        phase.buffer_bytes / gibibyte, phase.bytes() / gibibyte, duration(phase.seconds),
                        operations(phase.flops));
  for (const PhaseCost& phase : cost.phases)
    if (!phase.has_memory_for_more_ranks)
      text += fmt::format("  {}: the memory holds no more ranks than {}\n", phase.name, phase.ranks);
  return text;
}

std::string collective_table(const Cost& cost) {
  if (cost.collectives.empty()) return {};
  std::string text = fmt::format("\n  {:<40} {:>5} {:>10} {:>8} {:>8} {:>11} {:>11}\n", "collective", "ranks",
                                 "a step", "MB each", "ms each", "exposed ms", "deadline s");
  for (const CollectiveCost& call : cost.collectives)
    text += fmt::format("  {:<40} {:>5} {:>10} {:>8} {:>8} {:>11} {:>11}\n", call.op, call.ranks, call.calls,
                        short_number(call.bytes / 1e6), short_number(1e3 * call.seconds),
                        short_number(1e3 * call.exposed_seconds), short_number(call.deadline_seconds));
  return text + fmt::format("  deadline: {:g} x (the collective and the computation before it) + {:g} s\n",
                            deadline_factor, deadline_floor_seconds);
}

std::string forbidden_list(const Plan& plan) {
  std::map<std::string, std::vector<std::string>> by_rule;
  for (const Forbidden& entry : plan.forbidden) by_rule[entry.rule].push_back(degrees(entry.topology));
  std::string text;
  for (const auto& [rule, topologies] : by_rule)
    text += fmt::format("  {}:\n    {}\n", rule, fmt::join(topologies, "\n    "));
  return text.empty() ? text : "\nforbidden\n" + text;
}

nlohmann::json to_json(const Cost& cost) {
  nlohmann::json phases = nlohmann::json::array(), collectives = nlohmann::json::array();
  for (const PhaseCost& phase : cost.phases)
    phases.push_back({{"phase", phase.name},
                      {"ranks", phase.ranks},
                      {"has_memory_for_more_ranks", phase.has_memory_for_more_ranks},
                      {"weight_bytes", phase.weight_bytes},
                      {"activation_bytes", phase.activation_bytes},
                      {"buffer_bytes", phase.buffer_bytes},
                      {"bytes", phase.bytes()},
                      {"seconds", phase.seconds},
                      {"flops", phase.flops}});
  for (const CollectiveCost& call : cost.collectives)
    collectives.push_back({{"op", call.op},
                           {"ranks", call.ranks},
                           {"calls_a_step", call.calls},
                           {"bytes", call.bytes},
                           {"seconds", call.seconds},
                           {"exposed_seconds", call.exposed_seconds},
                           {"deadline_seconds", call.deadline_seconds}});
  return {{"topology", to_string(cost.topology)},
          {"shards", shards(cost.topology)},
          {"peak_bytes", cost.peak_bytes()},
          {"peak_phase", cost.peak_phase().name},
          {"step_seconds", cost.step_seconds},
          {"compute_seconds", cost.compute_seconds},
          {"exposed_seconds", cost.exposed_seconds},
          {"stream_seconds", cost.stream_seconds},
          {"total_seconds", cost.total_seconds},
          {"wire_bytes", cost.wire_bytes},
          {"imbalance", cost.imbalance},
          {"phases", phases},
          {"collectives", collectives}};
}

}  // namespace

std::string to_table(const Plan& plan) {
  std::string text = heading(plan);
  if (!plan.topologies.empty()) text += topology_table(plan);
  if (const Cost* const best = plan.best()) {
    text += fmt::format("\n* best: {}\n", plan.reason);
    text += phase_table(*best) + collective_table(*best);
  } else if (!plan.topologies.empty()) {
    const Cost& nearest = plan.topologies.front();
    text +=
        fmt::format("\nnothing fits; the nearest, {}:\n", to_text(nearest.topology)) + phase_table(nearest);
    text += plan.remedies.empty() ? "\nno smaller size, precision or number of GPUs up to 64 would fit\n"
                                  : "\nwhat would fit\n";
    for (const Remedy& remedy : plan.remedies)
      text += fmt::format("  {:<64} {:>6.1f} GiB {:>13}  {}\n", remedy.change,
                          remedy.cost.peak_bytes() / gibibyte, duration(remedy.cost.total_seconds),
                          to_text(remedy.cost.topology));
  }
  return text + forbidden_list(plan);
}

nlohmann::json to_json(const Plan& plan) {
  const Request& request = plan.request;
  nlohmann::json topologies = nlohmann::json::array(), forbidden = nlohmann::json::array(),
                 remedies = nlohmann::json::array();
  for (const Cost& cost : plan.topologies) {
    topologies.push_back(to_json(cost));
    topologies.back()["fits"] = plan.fits(cost);
  }
  for (const Forbidden& entry : plan.forbidden)
    forbidden.push_back({{"topology", to_string(entry.topology)}, {"rule", entry.rule}});
  for (const Remedy& remedy : plan.remedies)
    remedies.push_back({{"change", remedy.change}, {"cost", to_json(remedy.cost)}});
  const Cost* const best = plan.best();
  return {{"frames", request.video.frames},
          {"height", request.video.height},
          {"width", request.video.width},
          {"tokens", request.video.tokens()},
          {"steps", request.steps},
          {"precision", to_string(request.arithmetic)},
          {"gpus", plan.gpus},
          {"gpu", request.hardware.name},
          {"memory_bytes", request.hardware.memory_bytes},
          {"link", request.link.name},
          {"transformer_parameters", count_parameters(request.shapes).transformer},
          {"best", best != nullptr ? nlohmann::json(to_string(best->topology)) : nlohmann::json()},
          {"reason", plan.reason},
          {"topologies", topologies},
          {"forbidden", forbidden},
          {"remedies", remedies}};
}

}  // namespace stepvideo::plan
