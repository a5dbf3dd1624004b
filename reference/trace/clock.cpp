#include "trace/clock.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "trace/statistics.hpp"

namespace stepvideo::trace {

std::vector<std::pair<CollectiveKey, const LoggedEvent*>> collectives_of(const RankLog& log) {
  std::vector<std::pair<CollectiveKey, const LoggedEvent*>> found;
  std::map<CollectiveKey, int> occurrences;
  for (const LoggedEvent& event : log.events) {
    if (event.kind != Event::Kind::collective) continue;
    CollectiveKey key{event.stage,           event.step.value_or(-1),  event.layer.value_or(-1),
                      event.op.value_or(""), event.group.value_or(""), 0};
    std::get<int>(key) = occurrences[key]++;
    found.emplace_back(std::move(key), &event);
  }
  return found;
}

std::vector<ClockOffset> align_clocks(Run& run) {
  const RankLog& reference = run.front();
  const auto reference_list = collectives_of(reference);
  const std::map<CollectiveKey, const LoggedEvent*> reference_ends(reference_list.begin(),
                                                                   reference_list.end());
  std::vector<ClockOffset> offsets{{.rank = reference.rank}};
  for (std::size_t i = 1; i < run.size(); ++i) {
    ClockOffset offset{.rank = run[i].rank, .method = ClockOffset::Method::assumed};
    std::vector<double> differences;
    for (const auto& [key, event] : collectives_of(run[i]))
      if (const auto at = reference_ends.find(key); at != reference_ends.end())
        differences.push_back(event->time - at->second->time);
    if (!differences.empty()) {
      offset.method = ClockOffset::Method::collectives;
      offset.collectives = differences.size();
      offset.seconds = median(differences);
      for (double& difference : differences) difference = std::abs(difference - offset.seconds);
      offset.spread = median(differences);
    } else if (reference.facts.contains("start") && run[i].facts.contains("start")) {
      offset.method = ClockOffset::Method::start_time;
      offset.seconds = reference.fact("start") - run[i].fact("start");
    }
    offsets.push_back(offset);
  }
  for (std::size_t i = 1; i < run.size(); ++i)
    for (LoggedEvent& event : run[i].events) event.time -= offsets[i].seconds;
  return offsets;
}

std::string to_string(const ClockOffset& offset, int reference) {
  const std::string distance =
      fmt::format("rank {}'s clock stood {:.3f} s {} rank {}'s", offset.rank, std::abs(offset.seconds),
                  offset.seconds < 0 ? "behind" : "ahead of", reference);
  switch (offset.method) {
    case ClockOffset::Method::collectives:
      return fmt::format("{}, by the ends of {} common collective{} (spread {:.3f} ms)", distance,
                         offset.collectives, offset.collectives == 1 ? "" : "s", 1e3 * offset.spread);
    case ClockOffset::Method::start_time:
      return distance + ", by the wall-clock starts in their logs; the machines' clocks may differ";
    case ClockOffset::Method::assumed:
      return fmt::format(
          "rank {} is taken to have started with rank {}: they share no collective and no start time",
          offset.rank, reference);
    case ClockOffset::Method::reference:
      break;
  }
  return fmt::format("rank {}'s clock is the reference", offset.rank);
}

}  // namespace stepvideo::trace
