#include <array>
#include <set>

#include "trace/causes.hpp"
#include "trace/report.hpp"

namespace stepvideo::trace {
namespace {

using io::Json;

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

Json differences_json(const std::vector<Difference>& differences) {
  Json list = Json::array();
  for (const Difference& difference : differences)
    list.push_back({{"stage", difference.stage},
                    {"seconds", difference.measured},
                    {"expected_seconds", difference.expected},
                    {"expected_because", difference.basis},
                    {"cause", difference.cause}});
  return list;
}

Json stage_json(const StageSummary& stage) {
  Json ranks = Json::array();
  for (const StageOnRank& on_rank : stage.ranks)
    ranks.push_back({{"rank", on_rank.rank},
                     {"seconds", on_rank.seconds},
                     {"steps", on_rank.steps.size()},
                     {"exposed_seconds", on_rank.exposed_seconds},
                     {"waited_seconds", on_rank.waited_seconds},
                     {"bytes", on_rank.bytes},
                     {"peak_bytes", on_rank.peak_bytes},
                     {"cpu_seconds", number_or_null(on_rank.cpu_seconds)},
                     {"ended", !on_rank.is_open}});
  return {{"stage", stage.name},
          {"seconds", stage.seconds()},
          {"predicted_seconds", number_or_null(stage.predicted_seconds())},
          {"peak_bytes", stage.peak_bytes()},
          {"ranks", std::move(ranks)}};
}

Json last_event_json(const LastEvent& last, double begin) {
  return {{"rank", last.rank},
          {"time", last.time - begin},
          {"event", last.text},
          {"open_stage", last.open_stage.empty() ? Json() : Json(last.open_stage)},
          {"inside", last.entered ? Json(*last.entered) : Json()}};
}

/// Where and when a run runs is no change of what it runs.
bool is_incidental(const std::string& fact) {
  return fact == "start";
}

Json changed_facts(const Summary& first, const Summary& second) {
  std::set<std::string> names;
  for (const auto& [name, value] : first.facts) names.insert(name);
  for (const auto& [name, value] : second.facts) names.insert(name);
  Json changes = Json::array();
  const auto value_of = [](const Summary& summary, const std::string& name) {
    const auto at = summary.facts.find(name);
    return at == summary.facts.end() ? std::string("(not told)") : at->second;
  };
  for (const std::string& name : names)
    if (!is_incidental(name) && value_of(first, name) != value_of(second, name))
      changes.push_back(
          {{"fact", name}, {"first", value_of(first, name)}, {"second", value_of(second, name)}});
  return changes;
}

}  // namespace

Json to_json(const Explained& explained) {
  const Summary& summary = explained.summary;
  constexpr std::array states = {"finished", "failed", "cut"};
  Json json{{"state", states[static_cast<std::size_t>(summary.state)]},
            {"seconds", summary.seconds()},
            {"facts", summary.facts},
            {"behind", summary.behind},
            {"missing_ranks", summary.missing_ranks},
            {"differences", differences_json(largest_differences(summary))}};
  for (const char* const list : {"clocks", "stages", "shares", "messages", "last_events"})
    json[list] = Json::array();
  for (const ClockOffset& offset : explained.offsets)
    json["clocks"].push_back({{"rank", offset.rank},
                              {"offset_seconds", offset.seconds},
                              {"spread_seconds", offset.spread},
                              {"method", to_string(offset, explained.offsets[0].rank)}});
  for (const StageSummary& stage : summary.stages) json["stages"].push_back(stage_json(stage));
  for (const Shares& shares : summary.shares)
    json["shares"].push_back({{"rank", shares.rank},
                              {"compute_seconds", shares.compute},
                              {"exposed_communication_seconds", shares.exposed_communication},
                              {"io_seconds", shares.io},
                              {"idle_seconds", shares.idle}});
  for (const Message& message : summary.messages)
    json["messages"].push_back({{"rank", message.rank},
                                {"time", message.time - summary.begin},
                                {"event", message.is_error ? "error" : "warning"},
                                {"stage", message.stage},
                                {"message", message.text}});
  for (const LastEvent& last : summary.last_events)
    json["last_events"].push_back(last_event_json(last, summary.begin));
  if (summary.straggler)
    json["straggler"] = {{"rank", summary.straggler->rank},
                         {"caused_seconds", summary.straggler->caused_seconds},
                         {"last_to_come", summary.straggler->last_to_come},
                         {"collectives", summary.straggler->collectives}};
  return json;
}

Json compare_json(const Explained& first, const Explained& second) {
  return {{"first", to_json(first)},
          {"second", to_json(second)},
          {"changed", changed_facts(first.summary, second.summary)},
          {"differences", differences_json(largest_differences(second.summary, first.summary))}};
}

}  // namespace stepvideo::trace
