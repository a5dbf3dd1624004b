// report as a user meets it: one page that stands alone, whatever the log says.
#define BOOST_TEST_MODULE report_command
#include <cctype>
#include <string_view>

#include "io/base64.hpp"
#include "support/program.hpp"
#include "trace/html.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::string events = STEPVIDEO_TEST_DATA "/events";

/// report ARGUMENTS -o page.html, and the page.
std::string page_of(const ScratchFolder& folder, std::vector<std::string> arguments) {
  const std::string page = (folder / "page.html").string();
  arguments.insert(arguments.begin(), "report");
  arguments.insert(arguments.end(), {"-o", page});
  const auto result = testing::run_program(arguments);
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK_EQUAL(result.output + result.errors, "");
  return testing::read_text(page);
}

void check_refusal(std::vector<std::string> arguments, const std::string& phrase) {
  arguments.insert(arguments.begin(), "report");
  const auto result = testing::run_program(arguments);
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos, result.errors << " lacks: " << phrase);
  BOOST_CHECK_EQUAL(std::count(result.errors.begin(), result.errors.end(), '\n'), 1);
}

bool has(const std::string& page, const std::string& part) {
  return page.find(part) != page.npos;
}

std::size_t count(const std::string& page, const std::string& part) {
  std::size_t found = 0;
  for (auto at = page.find(part); at != page.npos; at = page.find(part, at + 1)) ++found;
  return found;
}

struct Tag {
  bool closes = false;
  std::string name, attributes;  ///< attributes without what stands in quotes
};

std::vector<Tag> tags_of(const std::string& page) {
  const auto is_alnum = [](unsigned char c) { return std::isalnum(c) != 0; };
  std::vector<Tag> tags;
  for (auto at = page.find('<'); at != page.npos; at = page.find('<', at + 1)) {
    Tag tag{page.at(at + 1) == '/', {}, {}};
    auto place = page.begin() + static_cast<std::ptrdiff_t>(at) + (tag.closes ? 2 : 1);
    const auto name_end = std::find_if_not(place, page.end(), is_alnum);
    tag.name.assign(place, name_end);
    if (tag.name.empty()) continue;
    bool is_quoted = false;
    for (place = name_end; place != page.end() && (is_quoted || *place != '>'); ++place) {
      if (*place == '"') is_quoted = !is_quoted;
      if (!is_quoted) tag.attributes += *place;
    }
    tags.push_back(tag);
  }
  return tags;
}

/// Whether one of the attributes is called on...
bool has_handler(const std::string& attributes) {
  for (auto at = attributes.find("on"); at != attributes.npos; at = attributes.find("on", at + 1)) {
    const auto end = attributes.find_first_not_of("abcdefghijklmnopqrstuvwxyz", at);
    const auto sign = attributes.find_first_not_of(" \t\n", end);
    if (at > 0 && std::isspace(static_cast<unsigned char>(attributes[at - 1])) != 0 &&
        sign != attributes.npos && attributes[sign] == '=')
      return true;
  }
  return false;
}

/// Tags open and close in turn, and none but those that the page is made of is there.
void check_well_formed(const std::string& page) {
  const std::vector<std::string> empty = {"meta", "link", "rect", "line", "polyline", "polygon"};
  std::vector<std::string> open;
  for (const auto& [closes, name, attributes] : tags_of(page)) {
    BOOST_CHECK_MESSAGE(name != "script" && name != "img" && name != "iframe", "the page has a " << name);
    BOOST_CHECK_MESSAGE(!has_handler(attributes), "a handler in " << attributes);
    if (std::find(empty.begin(), empty.end(), name) != empty.end() || attributes.ends_with("/")) continue;
    if (closes) {
      BOOST_REQUIRE_MESSAGE(!open.empty() && open.back() == name, "unexpected </" << name << ">");
      open.pop_back();
    } else {
      open.push_back(name);
    }
  }
  BOOST_CHECK(open.empty());
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_run_becomes_a_page_with_its_video_and_manifest) {
  const ScratchFolder folder;
  const auto log = (folder / "run.ndjson").string(), video = (folder / "a.mp4").string();
  const auto run =
      testing::run_program({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--prompt", "a red circle <b>",
                            "--steps", "3", "--quiet", "--log-file", log, "--output", video});
  BOOST_REQUIRE_MESSAGE(run.exit_code == 0, run.errors);
  const std::string page = page_of(folder, {log});  // the log names its video
  check_well_formed(page);
  for (const char* part : {"<svg", "finished", "denoise", "decode", "3 steps", "predicted", "Memory",
                           "data:video/mp4;base64,AAAA", "<title>a red circle &lt;b&gt;</title>",
                           "<h1>a red circle &lt;b&gt;</h1>", "run.ndjson", "<dt>seed</dt><dd>0</dd>",
                           "17 frames of 96 x 96 (width x height)", "text-anchor=\"end\">", "Manifest"})
    BOOST_CHECK_MESSAGE(has(page, part), "no " << part);
  // Whole: the file is in it.
  BOOST_CHECK(has(page, io::base64(testing::read_text(video))));
}
BOOST_AUTO_TEST_CASE(the_page_asks_for_nothing_from_elsewhere) {
  const ScratchFolder folder;
  const std::string page = page_of(folder, {events + "/straggler"});
  BOOST_CHECK(!has(page, "http://") && !has(page, "https://") && !has(page, "url("));
  BOOST_CHECK(has(page, "default-src 'none'"));
  BOOST_CHECK(has(page, "media-src 'self' data: file:;"));
}
BOOST_AUTO_TEST_CASE(markup_and_handlers_are_seen_where_they_are) {  // by the checks of this file
  BOOST_CHECK_EQUAL(tags_of("<a b=\"<i>\"><br/></a>").size(), 4u);
  BOOST_CHECK(has_handler(tags_of("<svg onload=\"x\">").at(0).attributes));
  BOOST_CHECK(has_handler(tags_of("<a b=\"c\"\n onclick = \"x\">").at(0).attributes));
  BOOST_CHECK(!has_handler(tags_of("<a title=\" onload=x\" content=\"y\">").at(0).attributes));
}
BOOST_AUTO_TEST_CASE(a_file_that_a_log_names_is_in_the_page_only_where_it_lies_beside_the_log) {
  const ScratchFolder folder;
  const auto secret = folder.write("home/private.mp4", "years of work").string();
  const auto page = [&](const std::string& output, std::vector<std::string> more = {}) {
    const auto log = folder.write(
        "logs/run.ndjson",
        R"({"time":0,"rank":0,"stage":"run","event":"begin","run":{"output":")" + output + "\"}}\n");
    more.insert(more.begin(), log.string());
    return page_of(folder, more);
  };
  const std::string content = io::base64("years of work");
  const std::string linked = page(secret);
  BOOST_CHECK(!has(linked, content));
  BOOST_CHECK(has(linked, "src=\"home/private.mp4\""));
  BOOST_CHECK(has(linked, "--video"));
  std::filesystem::create_symlink(secret, folder.path() / "logs/link.mp4");
  BOOST_CHECK(!has(page("link.mp4"), content));
  BOOST_CHECK(has(page(secret, {"--video", secret}), content));
  folder.write("logs/mine.mp4", "years of work");
  BOOST_CHECK(has(page("mine.mp4"), content));
}
BOOST_AUTO_TEST_CASE(every_rank_has_its_lane) {
  const ScratchFolder folder;
  const std::string page = page_of(folder, {events + "/straggler"});
  check_well_formed(page);
  for (int rank = 0; rank < 4; ++rank) BOOST_CHECK(has(page, "on, rank " + std::to_string(rank)));
  BOOST_CHECK(has(page, "rank 2 is late"));
}
BOOST_AUTO_TEST_CASE(a_log_that_is_cut_or_of_a_run_that_hangs_is_drawn) {
  const ScratchFolder folder;
  for (const std::string name : {"cut", "stuck"}) {
    const std::string page = page_of(folder, {events + "/" + name});
    check_well_formed(page);
    BOOST_CHECK(has(page, "cut short"));
    BOOST_CHECK(has(page, "Where it stopped"));
    BOOST_CHECK(has(page, "not ended"));
  }
}
BOOST_AUTO_TEST_CASE(what_a_log_says_is_text_and_never_markup) {
  const ScratchFolder folder;
  const std::string hostile = R"(</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&)";
  std::string log;
  for (const char* event : {"begin", "step", "warning", "end"})
    log += R"({"time":1,"rank":0,"stage":")" + hostile + R"(","event":")" + event + R"(","message":")" +
           hostile + R"(","seconds":1,"peak_bytes":1000000,"run":{")" + hostile + R"(":")" + hostile +
           "\"}}\n";
  const std::string page = page_of(folder, {folder.write("run.ndjson", log).string()});
  check_well_formed(page);
  BOOST_CHECK(has(page, "&lt;script&gt;alert(1)"));
  BOOST_CHECK(!has(page, "<script") && !has(page, "<img"));
  BOOST_CHECK_EQUAL(trace::html_escaped("<a href=\"x\" id='y'>&"),
                    "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;");
}
BOOST_AUTO_TEST_CASE(two_thousand_steps_and_a_thousand_stages_stay_a_small_page) {
  const ScratchFolder folder;
  std::string log = R"({"time":0,"rank":0,"stage":"denoise","event":"begin"})"
                    "\n";
  for (int step = 1; step <= 2000; ++step)
    log += R"({"time":)" + std::to_string(step) +
           R"(,"rank":0,"stage":"denoise","event":"step","seconds":1,"step":)" + std::to_string(step) +
           R"(,"peak_bytes":)" + std::to_string(100000000 + step * 1000) + "}\n";
  log += R"({"time":2000,"rank":0,"stage":"denoise","event":"end","seconds":2000})"
         "\n";
  for (int i = 0; i < 1000; ++i) {
    const std::string time = std::to_string(2000 + i * 0.01);
    log += R"({"time":)" + time + R"(,"rank":0,"stage":"decode","event":"begin"})" + "\n";
    log += R"({"time":)" + time + R"(,"rank":0,"stage":"decode","event":"end","seconds":0.01})" + "\n";
  }
  const std::string page = page_of(folder, {folder.write("run.ndjson", log).string()});
  check_well_formed(page);
  BOOST_CHECK_LT(page.size(), 400'000u);
  BOOST_CHECK(has(page, "2000 steps"));
  BOOST_CHECK_LT(count(page, "tabindex"), 250u);
}
BOOST_AUTO_TEST_CASE(a_large_video_is_linked_and_one_that_browsers_do_not_play_is_named) {
  const ScratchFolder folder;
  const auto video = folder.write("a b#1.mp4", std::string(2000, 'x')).string();
  const std::string page =
      page_of(folder, {events + "/two_ranks", "--video", video, "--embed-limit", "0.001"});
  BOOST_CHECK(has(page, "src=\"a%20b%231.mp4\""));
  BOOST_CHECK(!has(page, "base64"));
  folder.write("v.y4m", "x");
  BOOST_CHECK(has(page_of(folder, {events + "/two_ranks", "--video", (folder / "v.y4m").string()}),
                  "browsers do not play"));
}
BOOST_AUTO_TEST_CASE(what_cannot_be_reported_is_refused) {
  const ScratchFolder folder;
  const std::string page = (folder / "p.html").string();
  check_refusal({"-o", page}, "no log is named");
  check_refusal({events + "/cut"}, "--output is missing");
  check_refusal({events + "/cut", "-o", (folder / "p.pdf").string()}, ".html");
  check_refusal({(folder / "gone.ndjson").string(), "-o", page}, "is not there");
  check_refusal({folder.write("empty.ndjson", "").string(), "-o", page}, "holds no whole event");
  check_refusal({events + "/cut", "-o", page, "--video", "/no/such.mp4"}, "--video");
  BOOST_CHECK(!std::filesystem::exists(page));
}
BOOST_AUTO_TEST_CASE(base64_is_that_of_the_standard) {
  BOOST_CHECK_EQUAL(io::base64(""), "");
  BOOST_CHECK_EQUAL(io::base64("f"), "Zg==");
  BOOST_CHECK_EQUAL(io::base64("fo"), "Zm8=");
  BOOST_CHECK_EQUAL(io::base64("foobar"), "Zm9vYmFy");
  BOOST_CHECK_EQUAL(io::base64(std::string((3 << 20) + 1, '\0')).size(), (4u << 20) + 4);
}
