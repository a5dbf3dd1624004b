#include <cctype>
#include <fstream>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/options.hpp"
#include "commands/overwrite_flag.hpp"
#include "io/base64.hpp"
#include "io/manifest.hpp"
#include "io/pending_file.hpp"
#include "io/video.hpp"
#include "trace/html.hpp"
#include "trace/units.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

/// The video that the log names, where it is still there: from here, or beside the log.
std::optional<fs::path> logged_video(const trace::Explained& explained) {
  const auto output = explained.summary.facts.find("output");
  if (output == explained.summary.facts.end()) return {};
  std::error_code unused;
  for (const fs::path& path : {fs::path(output->second), explained.run.front().file.parent_path() /
                                                             fs::path(output->second).filename()})
    if (fs::is_regular_file(path, unused)) return path;
  return {};
}

/// Whether both lie in one folder, links followed.
bool lies_beside(const fs::path& path, const fs::path& other) {
  std::error_code error;
  const fs::path whole = fs::canonical(path, error);
  return !error && whole.parent_path() == fs::canonical(other, error).parent_path() && !error;
}

/// A path as part of an address.
std::string as_link(const fs::path& path) {
  std::string link;
  for (const unsigned char c : path.generic_string()) {
    const bool is_plain =
        std::isalnum(c) || std::string_view("-._~/").find(static_cast<char>(c)) != std::string_view::npos;
    link += is_plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return link;
}

/// `is_trusted`: whether its bytes may be put into the page.
trace::HtmlVideo video_of(const fs::path& path, const fs::path& report, double most_megabytes,
                          bool is_trusted) {
  const io::VideoKind kind = io::video_kind(path);
  const bool is_mp4 = kind == io::VideoKind::mp4;
  if (!is_mp4 && kind != io::VideoKind::webm)
    return {.source = {},
            .caption = path.string() + ", which browsers do not play; an .mp4 or .webm stands here"};
  const auto bytes = static_cast<double>(fs::file_size(path));
  const std::string caption = path.filename().string() + ", " + trace::bytes_text(bytes);
  if (!is_trusted || bytes > most_megabytes * 1e6) {
    const fs::path folder = fs::absolute(report).parent_path();
    return {.source = as_link(fs::proximate(fs::absolute(path), folder)),
            .caption = caption + ", in its own file, which must stay where it is" +
                       (is_trusted ? "" : "; it does not lie beside the log: --video puts it in the page")};
  }
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  require(file.good() || file.eof(),
          [&] { return fmt::format("--video: {} cannot be read", path.string()); });
  return {.source = fmt::format("data:video/{};base64,{}", is_mp4 ? "mp4" : "webm", io::base64(content)),
          .caption = caption};
}

/// Whether it is a page that this command wrote.
bool is_report(const fs::path& path) {
  std::string beginning(512, '\0');
  std::ifstream(path, std::ios::binary)
      .read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  return beginning.find(trace::html_maker) != std::string::npos;
}

}  // namespace

void report(const Arguments& arguments) {
  std::vector<std::string> words;
  fs::path output;
  std::optional<fs::path> video;
  OverwriteFlag own;
  double most_megabytes = 50;
  FlagParser parser("report", "a run as one page: report events.ndjson [more.ndjson ...] -o report.html");
  parser.words(words)
      .flag("output", output, "HTML file to write")
      .flag("video", video, "the video on the page [the output that the log names]")
      .flag("embed-limit", most_megabytes, "MB up to which the video is put into the page [50]")
      .require("output");
  own.declare(parser);
  if (!parser.parse(arguments)) return;
  const std::vector<fs::path> logs(words.begin(), words.end());
  require(!logs.empty(), [] {
    return "report: no log is named; give the files that --log-file wrote, one a rank, or their folder";
  });
  io::require_writable_output("--output", output, {".html", ".htm"});
  own.require_own("--output", output, [&] { return is_report(output); });
  std::error_code unused;
  require(!video || fs::exists(*video, unused),
          [&] { return fmt::format("--video: {} is not there", video->string()); });

  const auto explained = trace::explain_run(logs);
  // A log comes from anywhere and may name any file: what it names is read only where it lies beside it.
  bool is_trusted = video.has_value();
  if (!video && (video = logged_video(explained)))
    is_trusted = lies_beside(*video, explained.run.front().file);
  trace::HtmlExtras extras{.title = logs.front().filename().string()};
  if (video) {
    extras.video = video_of(*video, output, most_megabytes, is_trusted);
    try {
      if (is_trusted) extras.manifest = io::read_manifest(*video);
    } catch (const RequestError&) {  // no video that can be opened has no manifest; the page shows the rest
    }
  }
  io::write_file(output, trace::to_html(explained, extras));
}

}  // namespace stepvideo::commands
