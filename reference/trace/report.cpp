#include "trace/report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "trace/causes.hpp"
#include "trace/stage_places.hpp"
#include "trace/units.hpp"

namespace stepvideo::trace {
namespace {

}  // namespace

std::string state_text(Summary::State state) {
  switch (state) {
    case Summary::State::finished:
      return "finished";
    case Summary::State::failed:
      return "stopped by an error";
    case Summary::State::cut:
      break;
  }
  return "cut short";
}

namespace {

std::size_t longest_name(const std::vector<StageSummary>& stages) {
  std::size_t width = 5;
  for (const StageSummary& stage : stages) width = std::max(width, stage.name.size());
  return width;
}

std::string list_ranks(const std::vector<int>& ranks) {
  constexpr std::size_t most = 8;
  const std::vector<int> shown(ranks.begin(),
                               ranks.begin() + static_cast<long>(std::min(ranks.size(), most)));
  return fmt::format("{} {}{}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(shown, ", "),
                     ranks.size() > most ? fmt::format(" and {} more", ranks.size() - most) : "");
}

std::string stage_table(const Summary& summary) {
  const std::size_t width = longest_name(summary.stages);
  std::string text = fmt::format("{:<{}}  {:>12}  {:>12}  {:>6}  {:>9}", "stage", width, "measured",
                                 "predicted", "ratio", "peak");
  const bool has_ranks = summary.shares.size() > 1;
  text += has_ranks ? "  slowest rank (fastest)\n" : "\n";
  for (const StageSummary& stage : summary.stages) {
    const auto predicted = stage.predicted_seconds();
    const bool has_ratio = predicted && *predicted > 0;
    text += fmt::format("{:<{}}  {:>12}  {:>12}  {:>6}  {:>9}", stage.name, width,
                        seconds_text(stage.seconds()), predicted ? seconds_text(*predicted) : "-",
                        has_ratio ? fmt::format("{:.2f}", stage.seconds() / *predicted) : "-",
                        stage.peak_bytes() > 0 ? bytes_text(static_cast<double>(stage.peak_bytes())) : "-");
    if (has_ranks)
      text += fmt::format("  {} ({}: {})", stage.slowest().rank, stage.fastest().rank,
                          seconds_text(stage.fastest().seconds));
    if (stage.slowest().is_open) text += "  not ended";
    text += '\n';
  }
  return text;
}

std::string share_table(const Summary& summary) {
  std::string text = fmt::format("{:<5}  {:>8}  {:>21}  {:>6}  {:>6}\n", "rank", "compute",
                                 "exposed communication", "I/O", "idle");
  const double all = std::max(summary.seconds(), 1e-9);
  for (const Shares& shares : summary.shares)
    text += fmt::format("{:<5}  {:>6.1f} %  {:>19.1f} %  {:>4.1f} %  {:>4.1f} %\n", shares.rank,
                        100 * shares.compute / all, 100 * shares.exposed_communication / all,
                        100 * shares.io / all, 100 * shares.idle / all);
  return text;
}

std::string differences_text(const std::vector<Difference>& differences) {
  if (differences.empty()) return "no stage differs by more than 2 % from what was expected of it\n";
  std::string text = "largest differences\n";
  for (std::size_t i = 0; i < differences.size(); ++i) {
    const Difference& d = differences[i];
    text += fmt::format("{}. {}: {} {} ({} {}): {}\n", i + 1, d.stage, seconds_text(std::abs(d.excess())),
                        d.excess() > 0 ? "more" : "less", seconds_text(d.expected), d.basis, d.cause);
  }
  return text;
}

/// Where a run that did not finish stopped, and who is behind.
std::string stop_text(const Summary& summary) {
  std::string text = "where it stopped\n";
  for (const LastEvent& last : summary.last_events) {
    text +=
        fmt::format("rank {}: last event at {:.3f} s, {}", last.rank, last.time - summary.begin, last.text);
    if (last.entered)
      text += fmt::format("; it is still in {}", *last.entered);
    else if (!last.open_stage.empty())
      text += fmt::format("; stage {} had not ended", last.open_stage);
    text += last.is_cut_line ? "; the log's last line is cut\n" : "\n";
  }
  if (!summary.behind.empty()) {
    text += list_ranks(summary.behind) + (summary.behind.size() == 1 ? " is behind" : " are behind");
    const auto waiting = std::ranges::find_if(summary.last_events, [&](const LastEvent& last) {
      return last.entered && !std::ranges::binary_search(summary.behind, last.rank);
    });
    if (waiting != summary.last_events.end())
      text += fmt::format(": the others wait in {}", *waiting->entered);
    text += '\n';
  } else if (summary.last_events.size() > 1) {
    const bool all_inside = std::ranges::all_of(
        summary.last_events, [](const LastEvent& last) { return last.entered.has_value(); });
    text += all_inside ? "no rank is behind: all entered the same operation and none left it, so the link or "
                         "the library hangs, not a rank\n"
                       : "no rank is behind: all came equally far\n";
  }
  return text;
}

std::string messages_text(const Summary& summary) {
  std::string text;
  for (const Message& message : summary.messages)
    text += fmt::format("{} at {:.3f} s, rank {}, stage {}: {}\n", message.is_error ? "error" : "warning",
                        message.time - summary.begin, message.rank, message.stage, message.text);
  return text;
}

}  // namespace

Explained explain_run(const std::vector<std::filesystem::path>& paths) {
  Run run = read_run(paths);
  auto offsets = align_clocks(run);
  Summary summary = summarize(run);
  return {std::move(run), std::move(offsets), std::move(summary)};
}

std::string to_text(const Explained& explained) {
  const Summary& summary = explained.summary;
  std::string text =
      fmt::format("{} rank{}, {}, {}\n", summary.shares.size(), summary.shares.size() == 1 ? "" : "s",
                  seconds_text(summary.seconds()), state_text(summary.state));
  for (std::size_t i = 1; i < explained.offsets.size(); ++i)
    text += to_string(explained.offsets[i], explained.offsets[0].rank) + '\n';
  if (!summary.missing_ranks.empty())
    text += fmt::format("no log of {}; what they did is unknown\n", list_ranks(summary.missing_ranks));
  text += '\n' + stage_table(summary) + '\n' + differences_text(largest_differences(summary)) + '\n' +
          share_table(summary);
  const std::string messages = messages_text(summary);
  if (!messages.empty()) text += '\n' + messages;
  if (summary.state != Summary::State::finished) text += '\n' + stop_text(summary);
  return text;
}

std::string compare_text(const Explained& first, const Explained& second) {
  const Summary &a = first.summary, &b = second.summary;
  std::vector<StageSummary> stages = a.stages;
  const StagePlaces first_places = places_of(a.stages), second_places = places_of(b.stages);
  for (const StageSummary& stage : b.stages)
    if (!first_places.contains(stage.name)) stages.push_back(stage);
  const std::size_t width = longest_name(stages);
  std::string text =
      fmt::format("{:<{}}  {:>12}  {:>12}  {:>6}\n", "stage", width, "first", "second", "ratio");
  const auto line = [&](const std::string& name, const double* before, const double* after) {
    text += fmt::format("{:<{}}  {:>12}  {:>12}  {:>6}\n", name, width, before ? seconds_text(*before) : "-",
                        after ? seconds_text(*after) : "-",
                        before && after && *before > 0 ? fmt::format("{:.2f}", *after / *before) : "-");
  };
  for (const StageSummary& stage : stages) {
    const auto seconds = [&](const Summary& summary, const StagePlaces& places) -> std::optional<double> {
      const auto* const found = find_stage(summary.stages, places, stage.name);
      return found == nullptr ? std::nullopt : std::optional(found->seconds());
    };
    const auto before = seconds(a, first_places), after = seconds(b, second_places);
    line(stage.name, before ? &*before : nullptr, after ? &*after : nullptr);
  }
  const double before = a.seconds(), after = b.seconds();
  line("total", &before, &after);
  text += fmt::format("\nthe first run {}, the second {}\n", state_text(a.state), state_text(b.state));
  const io::Json compared = compare_json(first, second);
  for (const io::Json& change : compared.at("changed"))
    text += fmt::format("changed: {} {} -> {}\n", change["fact"].get<std::string>(),
                        change["first"].get<std::string>(), change["second"].get<std::string>());
  return text + '\n' + differences_text(largest_differences(b, a));
}

}  // namespace stepvideo::trace
