#include "trace/causes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "trace/stage_places.hpp"
#include "trace/statistics.hpp"
#include "trace/units.hpp"

namespace stepvideo::trace {
namespace {

struct Cause {
  double seconds = 0;  ///< of the excess that it explains
  std::string sentence;
};

/// What a rule sees: one stage that took too long.
struct Suspect {
  const Summary& summary;
  const StageSummary& stage;
  const StageOnRank& slowest;
  double excess;
  double usual_step;  ///< median of the slowest rank's steps, 0 without steps
};

std::optional<Cause> first_step_is_slow(const Suspect& s) {
  if (s.slowest.steps.size() < 3) return {};
  const double first = s.slowest.steps.front(), more = first - s.usual_step;
  if (more < 0.5 * s.usual_step) return {};
  return Cause{more, fmt::format("warm-up: step 1 took {}, the usual step {}; the first step pages weights "
                                 "in and sets libraries up",
                                 seconds_text(first), seconds_text(s.usual_step))};
}

std::optional<Cause> one_step_is_slow(const Suspect& s) {
  if (s.slowest.steps.size() < 3) return {};
  const auto worst = std::ranges::max_element(s.slowest.steps.begin() + 1, s.slowest.steps.end());
  const double more = *worst - s.usual_step;
  if (more < s.usual_step) return {};
  return Cause{more, fmt::format("step {} alone took {}, the usual step {}; something else used the machine "
                                 "just then",
                                 worst - s.slowest.steps.begin() + 1, seconds_text(*worst),
                                 seconds_text(s.usual_step))};
}

std::optional<Cause> steps_slow_down(const Suspect& s) {
  const std::size_t third = s.slowest.steps.size() / 3;
  if (third < 2) return {};
  const std::span<const double> steps(s.slowest.steps);
  const auto middle = [](std::span<const double> part) { return median({part.begin(), part.end()}); };
  const double early = middle(steps.first(third)), late = middle(steps.last(third));
  if (late < 1.15 * early) return {};
  return Cause{(late - early) * static_cast<double>(steps.size()) / 2,
               fmt::format("steps grew from {} to {}: clocks that fall as the device warms up, or a machine "
                           "that became busier",
                           seconds_text(early), seconds_text(late))};
}

std::optional<Cause> one_rank_is_late(const Suspect& s) {
  if (!s.summary.straggler) return {};
  const Straggler& late = *s.summary.straggler;
  const double waited = std::ranges::max(s.stage.ranks, {}, &StageOnRank::waited_seconds).waited_seconds;
  if (waited <= 0) return {};
  return Cause{waited, fmt::format("rank {} is late: it came last to {} of {} collectives and others waited "
                                   "{} for it; look at that GPU's clocks and neighbours",
                                   late.rank, late.last_to_come, late.collectives, seconds_text(waited))};
}

std::optional<Cause> one_rank_is_slow(const Suspect& s) {
  if (s.stage.ranks.size() < 2) return {};
  const double gap = s.slowest.seconds - s.stage.fastest().seconds;
  return Cause{gap, fmt::format("rank {} is slow: it took {}, rank {} {}", s.slowest.rank,
                                seconds_text(s.slowest.seconds), s.stage.fastest().rank,
                                seconds_text(s.stage.fastest().seconds))};
}

std::optional<Cause> link_is_slow(const Suspect& s) {
  if (s.slowest.collective_predicted_seconds <= 0) return {};
  const double more = s.slowest.exposed_seconds - s.slowest.collective_predicted_seconds;
  std::string rate;
  if (s.slowest.collective_bytes > 0 && s.slowest.exposed_seconds > 0)
    rate = fmt::format(" ({}/s)", bytes_text(s.slowest.collective_bytes / s.slowest.exposed_seconds));
  return Cause{more, fmt::format("the link: collectives took {}{} without waiting and were predicted {}; "
                                 "check peer access and which link carries them",
                                 seconds_text(s.slowest.exposed_seconds), rate,
                                 seconds_text(s.slowest.collective_predicted_seconds))};
}

std::optional<Cause> storage_is_slow(const Suspect& s) {
  if (!s.slowest.is_io()) return {};
  const std::string rate =
      s.slowest.bytes > 0 && s.slowest.seconds > 0
          ? fmt::format(" at {}/s", bytes_text(static_cast<double>(s.slowest.bytes) / s.slowest.seconds))
          : "";
  const bool waits = s.slowest.cpu_seconds && *s.slowest.cpu_seconds < 0.5 * s.slowest.seconds;
  return Cause{s.excess, fmt::format("reading and converting files{}{}", rate,
                                     waits ? ", mostly waiting for the disk: the files were not in the page "
                                             "cache, a local disk or a second run is faster"
                                           : "; the processor, not the disk, sets the pace")};
}

std::optional<Cause> memory_is_short(const Suspect& s) {
  const double memory = s.summary.fact("memory_bytes"), peak = static_cast<double>(s.stage.peak_bytes());
  if (memory <= 0 || peak < 0.9 * memory) return {};
  return Cause{s.excess, fmt::format("memory: the stage held {} of {}, so pages were swapped or dropped; a "
                                     "smaller size or --precision bf16 needs less",
                                     bytes_text(peak), bytes_text(memory))};
}

/// Whether the stage's work was a GPU's: threads of the host then only hand it out.
bool is_on_gpu(const Suspect& s) {
  return s.summary.facts.contains("gpu") && !s.slowest.is_io();
}

std::optional<Cause> gpu_is_held_back(const Suspect& s) {
  if (s.stage.name != "denoise") return {};  // during which it was asked
  constexpr std::string_view prefix = "gpu_held_back_by_";
  std::string reason;
  double most = 0;
  for (const auto& [name, value] : s.summary.facts)
    if (name.starts_with(prefix) && s.summary.fact(name) > most) {
      most = s.summary.fact(name);
      reason = name.substr(prefix.size());
    }
  if (most < 0.1) return {};
  const double clock = s.summary.fact("gpu_clock_mhz");
  return Cause{
      std::min(most, 1.0) * s.excess,
      fmt::format("the GPU was held back {:.0f} % of the time ({}){}; a cooler place or a higher power "
                  "limit helps",
                  100 * std::min(most, 1.0), reason,
                  clock > 0 ? fmt::format(", its clock {:.0f} MHz on average", clock) : "")};
}

/// Threads that lose their core again and again burn it for others when they spin at barriers.
std::optional<Cause> threads_fight_for_cores(const Suspect& s) {
  if (is_on_gpu(s)) return {};
  const double threads = s.summary.fact("threads"),
               switches = static_cast<double>(s.slowest.involuntary_switches);
  if (threads < 2 || s.slowest.seconds <= 0 || switches / s.slowest.seconds < 500) return {};
  const auto policy = s.summary.facts.find("wait_policy");
  const bool is_passive = policy != s.summary.facts.end() && policy->second == "passive";
  return Cause{0.9 * s.excess,
               fmt::format("{:.0f} threads lost their cores {:.0f} times a second to other work{}", threads,
                           switches / s.slowest.seconds,
                           is_passive ? "; a machine of its own, or fewer --threads"
                                      : " while others spun for them; OMP_WAIT_POLICY=passive helps")};
}

std::optional<Cause> cores_are_shared(const Suspect& s) {
  if (is_on_gpu(s)) return {};
  const double threads = s.summary.fact("threads");
  if (s.slowest.is_io() || !s.slowest.cpu_seconds || threads < 1 || s.slowest.seconds <= 0) return {};
  const double cores = *s.slowest.cpu_seconds / s.slowest.seconds;
  if (cores > 0.75 * threads) return {};
  return Cause{s.slowest.seconds * (1 - cores / threads),
               fmt::format("the process had {:.1f} cores for {:.0f} threads: other work, a limit on the "
                           "container, or parts that run on one thread",
                           cores, threads)};
}

std::optional<Cause> every_step_is_slow(const Suspect& s) {
  const auto predicted = s.stage.predicted_seconds();
  if (s.slowest.steps.empty() || !predicted) return {};
  const double each = *predicted / static_cast<double>(s.slowest.steps.size());
  const double more = (s.usual_step - each) * static_cast<double>(s.slowest.steps.size());
  return Cause{0.8 * more, fmt::format("every step alike: {} instead of {}; this machine attains less than "
                                       "the prediction assumes, ramp measures how much",
                                       seconds_text(s.usual_step), seconds_text(each))};
}

/// Of rules that explain as much, the first is taken: the more particular stand first.
constexpr std::array rules = {first_step_is_slow,      one_step_is_slow, steps_slow_down,
                              one_rank_is_late,        one_rank_is_slow, link_is_slow,
                              storage_is_slow,         memory_is_short,  gpu_is_held_back,
                              threads_fight_for_cores, cores_are_shared, every_step_is_slow};

void keep_largest(std::vector<Difference>& differences, std::size_t most) {
  std::erase_if(differences, [](const Difference& difference) {
    return std::abs(difference.excess()) < std::max(1e-3, 0.02 * difference.expected);
  });
  std::ranges::stable_sort(differences, std::ranges::greater{},
                           [](const Difference& difference) { return std::abs(difference.excess()); });
  if (differences.size() > most) differences.resize(most);
}

/// What a stage without a prediction would have taken at its usual step and without waiting.
std::optional<Difference> difference_to_itself(const StageSummary& stage) {
  const StageOnRank& slowest = stage.slowest();
  const double waited = std::ranges::max(stage.ranks, {}, &StageOnRank::waited_seconds).waited_seconds;
  double more = 0;
  if (slowest.steps.size() >= 3) {
    const double all = std::accumulate(slowest.steps.begin(), slowest.steps.end(), 0.0);
    more = all - median(slowest.steps) * static_cast<double>(slowest.steps.size());
  }
  if (waited > more)
    return Difference{stage.name, stage.seconds(), stage.seconds() - waited, "without waiting", ""};
  if (more > 0)
    return Difference{stage.name, stage.seconds(), stage.seconds() - more, "at its usual step", ""};
  return {};
}

}  // namespace

std::string likely_cause(const Summary& summary, const StageSummary& stage, double excess) {
  if (excess < 0) return "faster than expected; the expectation was cautious here, or less work was done";
  const StageOnRank& slowest = stage.slowest();
  const Suspect suspect{summary, stage, slowest, excess, median(slowest.steps)};
  Cause best{.seconds = 0.2 * excess,
             .sentence = "nothing in the log tells; compare with another run, or watch the machine"};
  for (const auto rule : rules)
    if (auto cause = rule(suspect); cause && std::min(cause->seconds, excess) > best.seconds)
      best = {std::min(cause->seconds, excess), std::move(cause->sentence)};
  return best.sentence;
}

std::vector<Difference> largest_differences(const Summary& summary, std::size_t most) {
  std::vector<Difference> differences;
  for (const StageSummary& stage : summary.stages) {
    const auto predicted = stage.predicted_seconds();
    if (predicted)
      differences.push_back({stage.name, stage.seconds(), *predicted, "predicted", ""});
    else if (const auto own = difference_to_itself(stage))
      differences.push_back(*own);
  }
  keep_largest(differences, most);
  for (Difference& difference : differences)
    difference.cause =
        likely_cause(summary, *std::ranges::find(summary.stages, difference.stage, &StageSummary::name),
                     difference.excess());
  return differences;
}

std::vector<Difference> largest_differences(const Summary& summary, const Summary& before, std::size_t most) {
  std::vector<Difference> differences;
  const StagePlaces places = places_of(before.stages);
  for (const StageSummary& stage : summary.stages)
    if (const auto* const old = find_stage(before.stages, places, stage.name); old != nullptr)
      differences.push_back({stage.name, stage.seconds(), old->seconds(), "in the first run", ""});
  keep_largest(differences, most);
  // The slower of the two runs holds the cause.
  for (Difference& difference : differences) {
    const bool is_slower = difference.excess() > 0;
    const Summary& slow = is_slower ? summary : before;
    const auto stage = std::ranges::find(slow.stages, difference.stage, &StageSummary::name);
    difference.cause = fmt::format("in the {} run {}", is_slower ? "second" : "first",
                                   likely_cause(slow, *stage, std::abs(difference.excess())));
  }
  return differences;
}

}  // namespace stepvideo::trace
