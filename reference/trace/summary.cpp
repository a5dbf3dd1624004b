#include "trace/summary.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "trace/clock.hpp"
#include "trace/rank_timeline.hpp"
#include "trace/stage_places.hpp"

namespace stepvideo::trace {
namespace {

/// Splits every collective into waiting for the last rank and the transfer, and adds both to the stages.
/// Returns the rank that others wait for, where there is one.
std::optional<Straggler> add_collectives(const Run& run, std::vector<RankTimeline>& timelines) {
  struct Call {
    std::size_t index;
    const LoggedEvent* event;
    double start() const { return event->time - event->seconds.value_or(0); }
  };
  std::map<CollectiveKey, std::vector<Call>> calls;
  for (std::size_t i = 0; i < run.size(); ++i)
    for (const auto& [key, event] : collectives_of(run[i])) calls[key].push_back({i, event});

  std::vector<StagePlaces> places;
  for (const RankTimeline& timeline : timelines) places.push_back(places_of(timeline.stages));

  std::vector<Straggler> late(run.size());
  std::size_t shared = 0;
  for (const auto& [key, ranks] : calls) {
    const Call& last = *std::ranges::max_element(ranks, {}, &Call::start);
    double longest_wait = 0;
    for (const Call& call : ranks) {
      StageOnRank& stage = *find_stage(timelines[call.index].stages, places[call.index], call.event->stage);
      const double seconds = call.event->seconds.value_or(0);
      const double exposed = std::min(call.event->exposed_seconds.value_or(seconds), seconds);
      const double waited = std::clamp(last.start() - call.start(), 0.0, exposed);
      stage.waited_seconds += waited;
      stage.exposed_seconds += exposed - waited;
      stage.collective_predicted_seconds += call.event->predicted_seconds.value_or(0);
      stage.collective_bytes += static_cast<double>(call.event->bytes.value_or(0));
      longest_wait = std::max(longest_wait, waited);
    }
    if (ranks.size() < 2) continue;
    ++shared;
    late[last.index].caused_seconds += longest_wait;
    ++late[last.index].last_to_come;
  }
  const auto worst = std::ranges::max_element(late, {}, &Straggler::caused_seconds);
  if (shared == 0 || worst->last_to_come * 2 <= shared) return {};
  worst->rank = run[static_cast<std::size_t>(worst - late.begin())].rank;
  worst->collectives = shared;
  return *worst;
}

Shares shares_of(const RankTimeline& timeline, double run_seconds) {
  Shares shares{.rank = timeline.last.rank};
  for (const StageOnRank& stage : timeline.stages) {
    const double own = std::max(0.0, stage.seconds - stage.exposed_seconds - stage.waited_seconds);
    (stage.is_io() ? shares.io : shares.compute) += own;
    shares.exposed_communication += std::min(stage.exposed_seconds, stage.seconds);
  }
  const double busy = shares.compute + shares.io + shares.exposed_communication;
  shares.idle = std::max(0.0, run_seconds - busy);
  return shares;
}

std::vector<StageSummary> merge_stages(std::vector<RankTimeline>& timelines) {
  std::vector<StageSummary> merged;
  StagePlaces places;
  for (const RankTimeline& timeline : timelines)
    for (const StageOnRank& stage : timeline.stages) {
      const auto [at, is_new] = places.try_emplace(stage.name, merged.size());
      if (is_new) merged.push_back({stage.name, {}});
      merged[at->second].ranks.push_back(stage);
    }
  return merged;
}

std::vector<int> ranks_behind(const std::vector<LastEvent>& last) {
  const auto furthest = std::ranges::max(last, {}, &LastEvent::position).position;
  const auto least = std::ranges::min(last, {}, &LastEvent::position).position;
  std::vector<int> behind;
  // A rank that left no stage open has done its part: the first of them goes on alone, to the video.
  const auto is_at_work = [](const LastEvent& event) {
    return !event.open_stage.empty() || event.entered || event.is_cut_line;
  };
  for (const LastEvent& event : last)
    if (least < furthest && event.position == least && is_at_work(event)) behind.push_back(event.rank);
  return behind;
}

Summary::State state_of(const Summary& summary) {
  if (std::ranges::any_of(summary.messages, &Message::is_error)) return Summary::State::failed;
  const bool is_open = std::ranges::any_of(
      summary.last_events, [](const LastEvent& last) { return !last.open_stage.empty() || last.entered; });
  const bool is_cut = std::ranges::any_of(summary.last_events, &LastEvent::is_cut_line);
  return is_open || is_cut || !summary.behind.empty() ? Summary::State::cut : Summary::State::finished;
}

}  // namespace

bool StageOnRank::is_io() const {
  constexpr std::array<std::string_view, 4> words{"load", "read", "write", "save"};
  const std::string_view first = std::string_view(name).substr(0, name.find(' '));
  return std::ranges::find(words, first) != words.end();
}

const StageOnRank& StageSummary::slowest() const {
  return *std::ranges::max_element(ranks, {}, &StageOnRank::seconds);
}

const StageOnRank& StageSummary::fastest() const {
  return *std::ranges::min_element(ranks, {}, &StageOnRank::seconds);
}

std::optional<double> StageSummary::predicted_seconds() const {
  std::optional<double> most;
  for (const StageOnRank& stage : ranks)
    if (stage.predicted_seconds) most = std::max(most.value_or(0), *stage.predicted_seconds);
  return most;
}

std::uint64_t StageSummary::peak_bytes() const {
  return std::ranges::max(ranks, {}, &StageOnRank::peak_bytes).peak_bytes;
}

double Summary::fact(const std::string& name, double fallback) const {
  return RankLog{.facts = facts}.fact(name, fallback);
}

Summary summarize(const Run& run) {
  Summary summary;
  std::vector<RankTimeline> timelines;
  summary.begin = std::numeric_limits<double>::max();
  summary.end = std::numeric_limits<double>::lowest();
  for (const RankLog& log : run) {
    timelines.push_back(timeline_of(log));
    const LoggedEvent& first = log.events.front();
    const bool lost_its_begin = first.kind != Event::Kind::begin;
    summary.begin = std::min(summary.begin, first.time - (lost_its_begin ? first.seconds.value_or(0) : 0));
    summary.end = std::max(summary.end, log.events.back().time);
    summary.facts.insert(log.facts.begin(), log.facts.end());
  }
  summary.straggler = add_collectives(run, timelines);
  for (const RankTimeline& timeline : timelines) {
    summary.shares.push_back(shares_of(timeline, summary.seconds()));
    summary.last_events.push_back(timeline.last);
    summary.messages.insert(summary.messages.end(), timeline.messages.begin(), timeline.messages.end());
  }
  std::ranges::stable_sort(summary.messages, {}, &Message::time);
  summary.stages = merge_stages(timelines);
  summary.behind = ranks_behind(summary.last_events);
  summary.state = state_of(summary);

  std::set<int> there;
  for (const RankLog& log : run) there.insert(log.rank);
  const int ranks = static_cast<int>(std::clamp(summary.fact("ranks"), 0.0, 1e5));
  for (int rank = 0; rank < ranks; ++rank)
    if (!there.contains(rank)) summary.missing_ranks.push_back(rank);
  return summary;
}

}  // namespace stepvideo::trace
