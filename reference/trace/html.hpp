// A run as one HTML page that needs nothing else: no network, no script, no other file.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "io/json.hpp"
#include "trace/report.hpp"

namespace stepvideo::trace {

/// The video on the page.
struct HtmlVideo {
  std::string source;  ///< what a browser plays: a data: URI or a relative link; empty where it cannot
  std::string caption;
};

struct HtmlExtras {
  std::string title;  ///< of the page, where the manifest tells no prompt; else it stands below
  std::optional<HtmlVideo> video = {};
  std::optional<io::Json> manifest = {};
};

/// What the page says of itself, near its beginning.
inline constexpr std::string_view html_maker = R"(<meta name="generator" content="stepvideo">)";

/// The page: outcome, video, timeline of stages and steps, memory, predicted and measured, causes, messages,
/// facts and the manifest. Light or dark as the reader's system is. Whatever the log or the manifest say is
/// text on the page and nothing else.
std::string to_html(const Explained& explained, const HtmlExtras& extras);

/// The text as it may stand between tags and in quoted attributes.
std::string html_escaped(std::string_view text);

namespace detail {
/// Stages and steps over time, a lane a rank; then memory over time; then the seconds of each step. SVG, as
/// wide as the page; empty where the log has nothing to draw.
std::string timeline_svg(const Explained& explained);
std::string memory_svg(const Explained& explained);
std::string steps_svg(const Explained& explained);
/// The class that gives a stage its colour.
std::string stage_class(const Summary& summary, std::string_view stage);
}  // namespace detail

}  // namespace stepvideo::trace
