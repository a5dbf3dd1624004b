#include "trace/html.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <string_view>

#include <fmt/format.h>

#include "trace/causes.hpp"
#include "trace/units.hpp"

namespace stepvideo::trace {
namespace {

// Nothing on the page may run or be fetched, whatever stands in it.
constexpr const char* head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="stepvideo">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' data: file:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
:root{--back:#fff;--text:#1c2127;--soft:#5b6673;--line:#d8dee6;--card:#f5f7fa;--good:#17713b;--bad:#b3261e;--warn:#8a5a00;
--c0:#4c78a8;--c1:#c5681c;--c2:#3f8f4f;--c3:#b2434b;--c4:#7a5fa8;--c5:#86643f;--c6:#b85a97;--c7:#5d6b76}
@media (prefers-color-scheme:dark){:root{--back:#14181d;--text:#e6eaef;--soft:#a2aebb;--line:#333c46;--card:#1c2229;--good:#66c98a;--bad:#ff8a80;--warn:#e5b454}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:17px;margin:36px 0 10px}
p{margin:6px 0}.soft,figcaption,th{color:var(--soft)}figcaption b{color:var(--text)}
.finished{color:var(--good)}.failed,.error{color:var(--bad)}.cut,.warning{color:var(--warn)}
h1,td,li,pre,dd,figcaption{unicode-bidi:isolate}
figure{margin:0 0 18px}video{max-width:100%;min-width:min(100%,320px);background:#000;border-radius:6px;display:block;image-rendering:auto}
.scroll{overflow-x:auto;background:linear-gradient(90deg,var(--back) 40%,transparent) 0 0/48px 100%,linear-gradient(270deg,var(--back) 40%,transparent) 100% 0/48px 100%,
linear-gradient(90deg,var(--soft),transparent) 0 0/12px 100%,linear-gradient(270deg,var(--soft),transparent) 100% 0/12px 100%;background-repeat:no-repeat;background-attachment:local,local,scroll,scroll}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 12px 5px 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}th{font-weight:500;font-size:13px}td.bars{width:34%;min-width:140px;padding-right:0}
.bar{height:7px;border-radius:2px;margin:2px 0;min-width:1px}.bar.expected{background:none;border:1px dashed var(--soft)}
.chip{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:8px}
.chart{display:block;overflow:visible;font-size:12px;fill:var(--text)}.grid{stroke:var(--line)}.tick{fill:var(--soft)}
.step{stroke:var(--soft);stroke-width:1}.name{fill:#fff;pointer-events:none}.broken{stroke:var(--bad);stroke-width:2;stroke-dasharray:5 3}
.tip{visibility:hidden;font-size:13px}g:hover .tip,g:focus .tip{visibility:visible}g:focus{outline:none}g:focus rect{stroke:var(--text);stroke-width:2}
.line{fill:none;stroke:var(--c0);stroke-width:2;vector-effect:non-scaling-stroke}.area{fill:var(--c0);opacity:.18}
.predicted{stroke:var(--text);stroke-width:1.5;stroke-dasharray:6 4}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--card);padding:12px;border-radius:6px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
li{overflow-wrap:anywhere}summary{cursor:pointer}:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
.c0{fill:var(--c0);background:var(--c0)}.c1{fill:var(--c1);background:var(--c1)}.c2{fill:var(--c2);background:var(--c2)}.c3{fill:var(--c3);background:var(--c3)}
.c4{fill:var(--c4);background:var(--c4)}.c5{fill:var(--c5);background:var(--c5)}.c6{fill:var(--c6);background:var(--c6)}.c7{fill:var(--c7);background:var(--c7)}
</style>
)";
static_assert(std::string_view(head).find(html_maker) != std::string_view::npos);

std::string section(std::string_view title, const std::string& content) {
  return content.empty() ? "" : fmt::format("<section><h2>{}</h2>\n{}</section>\n", title, content);
}

/// A manifest's field; empty where there is none.
std::string field_text(const std::optional<io::Json>& manifest, const char* name) {
  if (!manifest || !manifest->is_object() || !manifest->contains(name)) return {};
  const io::Json& value = manifest->at(name);
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() ? value.dump() : std::string();
}

/// What was asked for, as a reader says it.
std::string request_list(const std::optional<io::Json>& manifest) {
  std::string html;
  const auto add = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, html_escaped(text));
  };
  const auto text = [&](const char* name) { return field_text(manifest, name); };
  add("prompt", text("prompt"));
  add("prompt suffix", text("prompt_suffix"));
  add("negative", text("negative"));
  add("seed", text("seed"));
  if (const std::string frames = text("frames"); !frames.empty())
    add("video", fmt::format("{} {} of {} x {} (width x height)", frames, frames == "1" ? "frame" : "frames",
                             text("width"), text("height")));
  add("steps", text("steps"));
  add("guidance", text("cfg_scale"));
  add("time shift", text("time_shift"));
  add("precision", text("precision"));
  add("device", text("device"));
  if (manifest && manifest->is_object())
    add("model", field_text(manifest->value("model", io::Json()), "path"));
  return html.empty() ? "" : "<dl>\n" + html + "</dl>\n";
}

/// The prompt, as far as a title goes.
std::string title_of(const HtmlExtras& extras) {
  constexpr std::size_t longest = 160;
  std::string prompt = field_text(extras.manifest, "prompt");
  if (prompt.size() > longest) {
    std::size_t end = longest;
    while ((static_cast<unsigned char>(prompt[end]) & 0xc0) == 0x80) --end;
    prompt = prompt.substr(0, end) + "...";
  }
  return prompt.empty() ? extras.title : prompt;
}

std::string heading(const Explained& explained, const HtmlExtras& extras) {
  const Summary& summary = explained.summary;
  const std::string title = title_of(extras);
  const char* const state = summary.state == Summary::State::finished ? "finished"
                            : summary.state == Summary::State::failed ? "failed"
                                                                      : "cut";
  const std::size_t ranks = summary.shares.size();
  std::string html = fmt::format(
      "<title>{0}</title></head><body><main>\n<h1>{0}</h1>\n<p><b class=\"{1}\">{2}</b> "
      "after {3}, {4} rank{5}{6}</p>\n",
      html_escaped(title), state, state_text(summary.state), seconds_text(summary.seconds()), ranks,
      ranks == 1 ? "" : "s", title == extras.title ? "" : "; " + html_escaped(extras.title));
  if (!summary.missing_ranks.empty())
    html += fmt::format("<p class=\"warning\">{} of the run's ranks left no log</p>\n",
                        summary.missing_ranks.size());
  return html;
}

std::string video_html(const HtmlVideo& video) {
  const std::string caption = fmt::format("<figcaption>{}</figcaption>", html_escaped(video.caption));
  if (video.source.empty()) return caption + "\n";
  return fmt::format(
      "<figure><video controls loop muted playsinline preload=\"metadata\" src=\"{}\"></video>{}</figure>\n",
      html_escaped(video.source), caption);
}

std::string bar(double share, const std::string& kind) {
  return fmt::format("<div class=\"bar {}\" style=\"width:{:.2f}%\"></div>", kind,
                     100 * std::clamp(share, 0.0, 1.0));
}

std::string stage_table(const Summary& summary) {
  double most = 1e-12;
  for (const StageSummary& stage : summary.stages)
    most = std::max({most, stage.seconds(), stage.predicted_seconds().value_or(0)});
  std::string html =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"stages\"><table><thead><tr><th>stage</th>"
      "<th>measured</th><th>predicted</th><th>ratio</th><th>steps</th><th>peak "
      "memory</th><th></th></tr></thead><tbody>\n";
  for (const StageSummary& stage : summary.stages) {
    const auto predicted = stage.predicted_seconds();
    const std::string colour = detail::stage_class(summary, stage.name);
    const std::size_t steps = stage.slowest().steps.size();
    const bool has_ratio = predicted && *predicted > 0;
    html += fmt::format(
        "<tr><td><span class=\"chip "
        "{}\"></span>{}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td class=\"bars\">{}{}</td></tr>\n",
        colour, html_escaped(stage.name), stage.slowest().is_open ? " (not ended)" : "",
        seconds_text(stage.seconds()), predicted ? seconds_text(*predicted) : "",
        has_ratio ? fmt::format("{:.2f}", stage.seconds() / *predicted) : "",
        steps > 0 ? std::to_string(steps) : "",
        stage.peak_bytes() > 0 ? bytes_text(static_cast<double>(stage.peak_bytes())) : "",
        bar(stage.seconds() / most, colour), predicted ? bar(*predicted / most, "expected") : "");
  }
  return html + "</tbody></table></div>\n<p class=\"soft\">filled: measured; dashed: predicted</p>\n";
}

std::string causes_list(const Summary& summary) {
  std::string html;
  for (const Difference& d : largest_differences(summary))
    html += fmt::format("<li><b>{}</b>: {} {} ({} {}): {}</li>\n", html_escaped(d.stage),
                        seconds_text(std::abs(d.excess())), d.excess() > 0 ? "more" : "less",
                        seconds_text(d.expected), html_escaped(d.basis), html_escaped(d.cause));
  return html.empty() ? "<p>no stage differs by more than 2 % from what was expected of it</p>\n"
                      : "<ol>\n" + html + "</ol>\n";
}

std::string shares_table(const Summary& summary) {
  if (summary.shares.size() < 2) return {};
  const double all = std::max(summary.seconds(), 1e-9);
  std::string html =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"ranks\"><table><thead><tr><th>rank</th>"
      "<th>compute</th><th>exposed communication</th><th>I/O</th><th>idle</th></tr></thead><tbody>\n";
  for (const Shares& shares : summary.shares)
    html += fmt::format(
        "<tr><td>{}</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.1f} %</td></tr>\n",
        shares.rank, 100 * shares.compute / all, 100 * shares.exposed_communication / all,
        100 * shares.io / all, 100 * shares.idle / all);
  return html + "</tbody></table></div>\n";
}

std::string messages_list(const Summary& summary) {
  constexpr std::size_t most = 200;
  std::string html;
  for (std::size_t i = 0; i < std::min(summary.messages.size(), most); ++i) {
    const Message& message = summary.messages[i];
    const char* const kind = message.is_error ? "error" : "warning";
    html += fmt::format("<li><b class=\"{0}\">{0}</b> at {1}, rank {2}, {3}: {4}</li>\n", kind,
                        seconds_text(message.time - summary.begin), message.rank, html_escaped(message.stage),
                        html_escaped(message.text));
  }
  if (html.empty()) return {};
  if (summary.messages.size() > most)
    html += fmt::format("<li>and {} more</li>\n", summary.messages.size() - most);
  return "<ul>\n" + html + "</ul>\n";
}

std::string stop_list(const Summary& summary) {
  if (summary.state == Summary::State::finished) return {};
  std::string html;
  for (const LastEvent& last : summary.last_events)
    html += fmt::format("<li>rank {}: last event at {}, {}{}{}</li>\n", last.rank,
                        seconds_text(last.time - summary.begin), html_escaped(last.text),
                        last.entered ? "; it is still in " + html_escaped(*last.entered) : "",
                        last.is_cut_line ? "; the log's last line is cut" : "");
  return "<ul>\n" + html + "</ul>\n";
}

/// A fact as a reader likes it.
std::string fact_text(const Summary& summary, const std::string& name, const std::string& value) {
  const double number = summary.fact(name);
  if (name.ends_with("_bytes") && number > 0) return bytes_text(number);
  if (name != "start" || !(number > 0) || number > 1e11) return value;
  const auto seconds = static_cast<std::time_t>(number);
  std::tm parts{};
  std::array<char, 64> text{};
  gmtime_r(&seconds, &parts);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string facts_list(const Summary& summary) {
  std::string html;
  for (const auto& [name, value] : summary.facts)
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", html_escaped(name),
                        html_escaped(fact_text(summary, name, value)));
  return html.empty() ? "" : "<dl>\n" + html + "</dl>\n";
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  return safe;
}

std::string to_html(const Explained& explained, const HtmlExtras& extras) {
  const Summary& summary = explained.summary;
  std::string html = head + heading(explained, extras);
  if (extras.video) html += section("Video", video_html(*extras.video));
  html += section("Request", request_list(extras.manifest));
  html += section("Where it stopped", stop_list(summary));
  html += section("Messages", messages_list(summary));
  html += section("Timeline", detail::timeline_svg(explained));
  html += section("Memory", detail::memory_svg(explained));
  html += section("Stages", stage_table(summary));
  html += section("Largest differences", causes_list(summary));
  html += section("Steps", detail::steps_svg(explained));
  html += section("Ranks", shares_table(summary));
  html += section("The run", facts_list(summary));
  if (extras.manifest)
    html +=
        section("Manifest",
                "<details><summary>what made the video, as it stands in the file</summary><pre>" +
                    html_escaped(extras.manifest->dump(2, ' ', false, io::Json::error_handler_t::replace)) +
                    "</pre></details>\n");
  return html + "</main></body></html>\n";
}

}  // namespace stepvideo::trace
