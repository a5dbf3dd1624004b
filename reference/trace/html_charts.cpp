#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "trace/html.hpp"
#include "trace/statistics.hpp"
#include "trace/units.hpp"

namespace stepvideo::trace::detail {
namespace {

/// Positions across a chart are percents of its width: it keeps its text size at any width.
constexpr int columns = 800;  // more marks than that nobody tells apart

/// Time on the page.
struct Axis {
  double begin = 0, seconds = 1e-9;

  double percent(double time) const { return std::clamp(100 * (time - begin) / seconds, 0.0, 100.0); }
};

Axis axis_of(const Summary& summary) {
  return {summary.begin, std::max(summary.seconds(), 1e-9)};
}

/// Some five of them in `extent`: 1, 2 or 5 times a power of ten seconds; whole minutes and hours beyond one.
double tick_step(double extent) {
  const double raw = extent / 5;
  if (raw > 30)
    for (const double minutes : {1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 720})
      if (raw <= 60 * minutes) return 60 * minutes;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  return power * (raw <= power ? 1 : raw <= 2 * power ? 2 : raw <= 5 * power ? 5 : 10);
}

std::string time_axis(const Axis& axis, int top, int bottom) {
  std::string svg;
  const double step = tick_step(axis.seconds);
  for (int i = 0; i * step <= axis.seconds; ++i) {
    const double x = 100 * i * step / axis.seconds;
    svg +=
        fmt::format(R"(<line class="grid" x1="{0:.3f}%" x2="{0:.3f}%" y1="{1}" y2="{2}"/>)", x, top, bottom);
    if (x < 94)
      svg += fmt::format(R"(<text class="tick" x="{:.3f}%" dx="3" y="{}">{}</text>)", x, bottom + 14,
                         i == 0 ? "0" : seconds_text(i * step));
  }
  return svg;
}

/// A stage on the screen: one visit, or a run of visits too short to be told apart.
struct Span {
  std::string name;
  double begin = 0, end = 0;
  int visits = 1;
  bool is_open = false, has_failed = false;
  std::vector<double> steps = {};  ///< when each ended
};

std::vector<Span> spans_of(const RankLog& log) {
  std::vector<Span> spans;
  bool is_inside = false;
  for (const LoggedEvent& event : log.events) {
    if (event.op) continue;  // an operation within a stage
    const double begin = event.time - event.seconds.value_or(0);
    if (event.kind == Event::Kind::begin || !is_inside || spans.back().name != event.stage) {
      if (is_inside && event.kind != Event::Kind::begin && event.kind != Event::Kind::end &&
          event.kind != Event::Kind::step)
        continue;
      if (is_inside) spans.back().end = event.time;
      spans.push_back({.name = event.stage,
                       .begin = event.kind == Event::Kind::begin ? event.time : begin,
                       .end = event.time,
                       .is_open = true});
      is_inside = true;
    }
    Span& span = spans.back();
    span.end = event.time;
    if (event.kind == Event::Kind::step) span.steps.push_back(event.time);
    if (event.kind == Event::Kind::end || event.kind == Event::Kind::error) {
      span.is_open = false;
      span.has_failed = event.kind == Event::Kind::error;
      is_inside = false;
    }
  }
  if (is_inside) spans.back().end = std::max(spans.back().end, log.events.back().time);
  return spans;
}

/// Joins neighbours that are thinner than a line.
std::vector<Span> merged(const std::vector<Span>& spans, const Axis& axis) {
  std::vector<Span> result;
  const double thin = axis.seconds / columns;
  for (const Span& span : spans) {
    const bool joins = !result.empty() && span.end - span.begin < thin && !span.is_open && !span.has_failed &&
                       result.back().end - result.back().begin < 2 * thin && !result.back().has_failed;
    if (!joins || spans.size() < columns / 4) {
      result.push_back(span);
      continue;
    }
    result.back().end = span.end;
    result.back().visits += span.visits;
  }
  return result;
}

/// One vertical line for each column of the chart that has a step.
std::string step_marks(const std::vector<double>& times, const Axis& axis, int top, int bottom) {
  std::string svg;
  int last = -1;
  for (const double time : times) {
    const int column = static_cast<int>(axis.percent(time) / 100 * columns);
    if (column == last) continue;
    last = column;
    svg += fmt::format(R"(<line class="step" x1="{0:.3f}%" x2="{0:.3f}%" y1="{1}" y2="{2}"/>)",
                       100.0 * column / columns, top, bottom);
  }
  return svg;
}

/// The name within the stage's bar, where it has room on a page of 700 pixels or more; cut off at the bar's
/// end.
std::string name_svg(const std::string& name, double x, double width, int top) {
  if (width * 7 < 7.0 * static_cast<double>(name.size()) + 8) return {};
  return fmt::format(
      R"(<svg x="{:.3f}%" y="{}" width="{:.3f}%" height="26"><text class="name" x="5" y="17">{}</text></svg>)",
      x, top, width, html_escaped(name));
}

std::string span_svg(const Span& span, int rank, const Axis& axis, const std::string& colour, int top,
                     int tip_y) {
  constexpr int height = 26;
  const double x = axis.percent(span.begin), width = std::max(axis.percent(span.end) - x, 0.15);
  std::string tip = fmt::format("{}: {} from {} on, rank {}", span.name, seconds_text(span.end - span.begin),
                                seconds_text(span.begin - axis.begin), rank);
  if (span.visits > 1) tip = fmt::format("{} short stages, the first {}", span.visits, tip);
  if (!span.steps.empty())
    tip += fmt::format(", {} step{}", span.steps.size(), span.steps.size() == 1 ? "" : "s");
  if (span.has_failed) tip += ", ended by an error";
  if (span.is_open) tip += ", not ended";
  const std::string safe = html_escaped(tip);
  return fmt::format(R"(<g tabindex="0" role="img" aria-label="{0}"><title>{0}</title>)"
                     R"(<rect class="{1}{2}" x="{3:.3f}%" y="{4}" width="{5:.3f}%" height="{6}" rx="2"/>)"
                     R"({7}<text class="tip" x="0" y="{8}">{0}</text></g>)",
                     safe, colour, span.has_failed || span.is_open ? " broken" : "", x, top, width, height,
                     name_svg(span.name, x, width, top), tip_y) +
         step_marks(span.steps, axis, top + height + 1, top + height + 6) + "\n";
}

/// `values` over a chart of `height`, as the points of a path in a box of `columns` by `height`.
std::string points(const std::vector<std::pair<double, double>>& values, double height) {
  std::string text;
  for (const auto& [x, y] : values) text += fmt::format("{:.1f},{:.1f} ", x, height * (1 - y));
  return text;
}

/// The largest value's line and the half of it, with what they are.
std::string bytes_axis(double most, int top, int height) {
  std::string svg;
  for (const double share : {1.0, 0.5})
    svg += fmt::format(R"(<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>)"
                       R"(<text class="tick" x="100%" dx="-3" y="{1:.1f}" text-anchor="end">{2}</text>)",
                       top + height * (1 - share), top + height * (1 - share) + 13, bytes_text(share * most));
  return svg;
}

/// Stretches what it holds to the width of the page.
std::string stretched(int top, int height, const std::string& content) {
  return fmt::format(
      R"(<svg y="{}" height="{}" width="100%" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>)", top,
      height, columns, height, content);
}

/// The peaks as they were told, the largest of each column of the chart, in [0, 1] of `most`.
std::vector<std::pair<double, double>> memory_of(const RankLog& log, const Axis& axis, double most) {
  std::map<int, double> largest;
  for (const LoggedEvent& event : log.events)
    if (event.peak_bytes) {
      double& value = largest[static_cast<int>(axis.percent(event.time) / 100 * columns)];
      value = std::max(value, static_cast<double>(*event.peak_bytes));
    }
  std::vector<std::pair<double, double>> path;
  double before = 0;
  for (const auto& [column, bytes] : largest) {  // a peak is of the time before it was told
    path.emplace_back(before, bytes / most);
    path.emplace_back(column, bytes / most);
    before = column;
  }
  return path;
}

std::string one_steps_svg(const StageSummary& stage, const std::string& colour) {
  const std::vector<double>& steps = stage.slowest().steps;
  constexpr int height = 90;
  const double most = std::max(std::ranges::max(steps), 1e-12);
  const auto count = static_cast<double>(steps.size());
  std::vector<double> bars(std::min<std::size_t>(steps.size(), columns / 2), 0.0);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    double& bar = bars[i * bars.size() / steps.size()];
    bar = std::max(bar, steps[i]);
  }
  std::string rects;
  const double width = 100.0 / static_cast<double>(bars.size());
  for (std::size_t i = 0; i < bars.size(); ++i)
    rects += fmt::format(R"(<rect class="{}" x="{:.3f}%" y="{:.1f}" width="{:.3f}%" height="{:.1f}"/>)",
                         colour, width * static_cast<double>(i), height * (1 - bars[i] / most), width * 0.92,
                         height * bars[i] / most);
  std::string lines;
  const auto predicted = stage.predicted_seconds();
  if (predicted && *predicted / count <= most)
    lines = fmt::format(R"(<line class="predicted" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>)",
                        height * (1 - *predicted / count / most));
  const auto slowest = std::ranges::max_element(steps) - steps.begin() + 1;
  const std::string told =
      fmt::format("{} steps: median {}, fastest {}, slowest {} (step {}){}", steps.size(),
                  seconds_text(median(steps)), seconds_text(std::ranges::min(steps)), seconds_text(most),
                  slowest, predicted ? ", predicted " + seconds_text(*predicted / count) : "");
  return fmt::format(R"(<figure><figcaption><b>{0}</b> {1}</figcaption><svg class="chart" role="img" )"
                     R"(aria-label="{0}, {1}" width="100%" height="{2}">{3}{4}</svg></figure>)"
                     "\n",
                     html_escaped(stage.name), html_escaped(told), height, rects, lines);
}

}  // namespace

std::string stage_class(const Summary& summary, std::string_view stage) {
  constexpr int colours = 8;
  const auto at = std::ranges::find(summary.stages, stage, &StageSummary::name);
  return fmt::format("c{}", (at - summary.stages.begin()) % colours);
}

std::string timeline_svg(const Explained& explained) {
  const Axis axis = axis_of(explained.summary);
  const int lane = explained.run.size() > 1 ? 46 : 40, top = 4;
  const int lanes = static_cast<int>(explained.run.size()), bottom = top + lanes * lane, tip_y = bottom + 34;
  std::string svg = fmt::format(R"(<svg class="chart" width="100%" height="{}">)", tip_y + 8);
  svg += time_axis(axis, top, bottom);
  for (int i = 0; i < lanes; ++i) {
    const RankLog& log = explained.run[static_cast<std::size_t>(i)];
    if (lanes > 1)
      svg += fmt::format(R"(<text class="tick" x="100%" y="{}" dx="-8" text-anchor="end">rank {}</text>)",
                         top + i * lane + 38, log.rank);
    for (const Span& span : merged(spans_of(log), axis))
      svg += span_svg(span, log.rank, axis, stage_class(explained.summary, span.name), top + i * lane, tip_y);
  }
  return svg + "</svg>\n";
}

std::string memory_svg(const Explained& explained) {
  const Axis axis = axis_of(explained.summary);
  double most = 0;
  for (const RankLog& log : explained.run)
    for (const LoggedEvent& event : log.events)
      most = std::max(most, static_cast<double>(event.peak_bytes.value_or(0)));
  if (most <= 0) return {};
  constexpr int top = 18, height = 110;
  std::string paths;
  for (const RankLog& log : explained.run) {
    auto path = memory_of(log, axis, most);
    if (path.empty()) continue;
    const std::string line = points(path, height);
    if (explained.run.size() == 1)
      paths += fmt::format(R"(<polygon class="area" points="0,{0} {1}{2:.1f},{0}"/>)", height, line,
                           path.back().first);
    paths += fmt::format(R"(<polyline class="line" points="{}"/>)", line);
  }
  const double machine = explained.summary.fact("memory_bytes");
  const std::string told = fmt::format("at most {}{}", bytes_text(most),
                                       machine > 0 ? " of the machine's " + bytes_text(machine) : "");
  return fmt::format(
             R"(<svg class="chart" role="img" aria-label="memory over time, {}" width="100%" height="{}">)",
             told, top + height + 20) +
         time_axis(axis, top, top + height) + bytes_axis(most, top, height) + stretched(top, height, paths) +
         fmt::format(R"(<text class="tick" x="0" y="12">{}</text></svg>)", told) + "\n";
}

std::string steps_svg(const Explained& explained) {
  constexpr std::size_t fewest = 2, most_charts = 4;
  std::vector<const StageSummary*> stages;
  for (const StageSummary& stage : explained.summary.stages)
    if (stage.slowest().steps.size() >= fewest) stages.push_back(&stage);
  std::ranges::stable_sort(stages, std::ranges::greater{},
                           [](const auto* stage) { return stage->seconds(); });
  std::string svg;
  for (std::size_t i = 0; i < std::min(stages.size(), most_charts); ++i)
    svg += one_steps_svg(*stages[i], stage_class(explained.summary, stages[i]->name));
  return svg;
}

}  // namespace stepvideo::trace::detail
