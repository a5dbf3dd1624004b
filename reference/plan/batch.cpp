#include "plan/batch.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "plan/remedies.hpp"
#include "plan/text.hpp"

namespace stepvideo::plan {
namespace {

std::string name(const ReplicaPlan& way) {
  const auto ranks = way.cost.topology.ranks();
  const std::string each =
      ranks == 1 ? "one rank" : fmt::format("{} ranks, {}", ranks, to_text(way.cost.topology));
  return way.replicas == 1 ? each : fmt::format("{} replicas of {}", way.replicas, each);
}

/// Which of the best two of a kind is better, and by how much.
std::string verdict(const BatchPlan& batch) {
  const ReplicaPlan& best = batch.ways.front();
  const auto other = std::ranges::find_if(
      batch.ways, [&](const ReplicaPlan& way) { return (way.replicas == 1) != (best.replicas == 1); });
  if (other == batch.ways.end()) return {};
  const double gain = batch.videos > 0 ? other->seconds(batch.videos) / best.seconds(batch.videos)
                                       : best.videos_an_hour() / other->videos_an_hour();
  return fmt::format("{} {} % faster than {}", best.replicas > 1 ? "replicas are" : "all ranks together are",
                     short_number(100 * (gain - 1)), name(*other)) +
         (best.replicas > 1 ? fmt::format("; generate --prompts FILE --replicas {}", best.replicas) : "");
}

}  // namespace

double ReplicaPlan::videos_an_hour() const {
  return 3600 * replicas / video_seconds;
}

double ReplicaPlan::seconds(int videos) const {
  return (videos + replicas - 1) / replicas * video_seconds;
}

BatchPlan plan_batch(const Request& request, int gpus, std::optional<int> asked) {
  require(!asked || (*asked >= 1 && *asked <= largest_batch),
          [&] { return fmt::format("--prompts is {}; 1 to {} works", *asked, largest_batch); });
  const int videos = asked.value_or(0);
  BatchPlan batch{.videos = videos};
  for (int replicas = 1; replicas <= gpus; ++replicas) {
    if (gpus % replicas != 0 || (videos > 0 && replicas > videos)) continue;
    Request of_each = request;
    const int sharers = request.hardware.is_host ? replicas : 1;
    of_each.hardware.memory_bytes /= sharers;
    if (auto cost = best_fitting(CostModel(of_each), gpus / replicas))
      batch.ways.push_back({replicas, *cost, sharers * cost->total_seconds});
  }
  std::ranges::stable_sort(batch.ways, {}, [&](const ReplicaPlan& way) {
    return std::tuple(videos > 0 ? way.seconds(videos) : 1 / way.videos_an_hour(), way.replicas);
  });
  return batch;
}

std::string to_table(const BatchPlan& batch) {
  if (batch.ways.size() < 2) return {};
  const auto row = [&](char mark, const std::string& way, const std::string& video, const std::string& rate,
                       const std::string& all) {
    return fmt::format("{} {:<52} {:>13} {:>15}", mark, way, video, rate) +
           (batch.videos > 0 ? fmt::format(" {:>15}\n", all) : "\n");
  };
  std::string text = "\n" + row(' ', "a batch of prompts", "a video", "videos an hour",
                                fmt::format("{} videos", batch.videos));
  for (const ReplicaPlan& way : batch.ways)
    text += row(&way == &batch.ways.front() ? '*' : ' ', name(way), duration(way.video_seconds),
                short_number(way.videos_an_hour()), duration(way.seconds(batch.videos)));
  if (const std::string said = verdict(batch); !said.empty()) text += "* " + said + "\n";
  return text;
}

nlohmann::json to_json(const BatchPlan& batch) {
  nlohmann::json ways = nlohmann::json::array();
  for (const ReplicaPlan& way : batch.ways) {
    ways.push_back({{"replicas", way.replicas},
                    {"topology", to_string(way.cost.topology)},
                    {"video_seconds", way.video_seconds},
                    {"videos_an_hour", way.videos_an_hour()}});
    if (batch.videos > 0) ways.back()["seconds"] = way.seconds(batch.videos);
  }
  return ways;
}

}  // namespace stepvideo::plan
