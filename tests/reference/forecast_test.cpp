// What a run says before it begins and when it is done.
#define BOOST_TEST_MODULE forecast
#include "commands/forecast.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <sstream>

#include "pipeline/step_file.hpp"
#include "support/terminal.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace fs = std::filesystem;

namespace {

StringList generate(const fs::path& output, const StringList& more = {}) {
  return with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt", "a red circle",
               "--frames", "17", "--height", "32", "--width", "48", "--output", output.string()},
              more);
}
const StringList four_steps{"--steps", "4", "--reproducible"};
/// Hours on any machine.
StringList long_run(const fs::path& output, const StringList& more = {}) {
  return with(
      {"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt", "a red circle", "--frames",
       "68", "--height", "144", "--width", "144", "--steps", "90000", "--output", output.string()},
      more);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
void check_has(const std::string& text, const StringList& parts) {
  for (const std::string& part : parts) BOOST_CHECK_MESSAGE(has(text, part), text << " lacks: " << part);
}

/// The widest of the lines that change, between two line ends, returns and escapes; those that stay may wrap.
std::size_t widest_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\r' || c == '\x1b'; }, '\n');
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("[K")) line.erase(0, 2);  // of the escape
    if (!has(line, "done in")) widest = std::max(widest, line.size());
  }
  return widest;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_forecast_tells_time_end_and_memory) {
  setenv("TZ", "UTC", 1);
  tzset();
  commands::Forecast forecast{"204 frames of 992x544, 50 steps"};
  plan::Cost cost{
      .phases = {{.name = "denoise", .weight_bytes = 58.6e9}}, .step_seconds = 30, .total_seconds = 1530};
  forecast.add(cost, 10);
  forecast.add(cost, 50);
  BOOST_CHECK_EQUAL(forecast.seconds, 1530 - 300 + 1530 - 1500);
  constexpr std::int64_t one_o_clock = 3600;
  BOOST_CHECK_EQUAL(
      commands::forecast_text(forecast, "the CPU", one_o_clock),
      "204 frames of 992x544, 50 steps on the CPU: about 21 min 00 s by the plan, done at 01:21; "
      "58.6 GB of memory");
  forecast.seconds = 86400;
  check_has(commands::forecast_text(forecast, "the CPU", one_o_clock),
            {"done on Friday 02 January at 01:00"});
  forecast.seconds = 2;
  BOOST_CHECK(!has(commands::forecast_text(forecast, "the CPU", one_o_clock), "done"));
}

BOOST_AUTO_TEST_CASE(the_result_tells_what_it_is_and_how_to_see_it) {
  const ScratchFolder folder;
  const std::string video = folder.write("a's.mp4", std::string(45'000, ' ')).string();
  const VideoShape shape{17, 96, 64};
  BOOST_CHECK_EQUAL(commands::video_text(video, shape, {}, 7, "mpv"),
                    video + ": 17 frames of 64x96 at 25 a second, 680.0 ms, 45 kB, seed 7; mpv '" +
                        (folder / "a").string() + "'\\''s.mp4' shows it");
  check_has(commands::video_text(video, shape, {}, 7, ""), {"any player shows it"});
  const std::string tensor = folder.write("a.safetensors", "1").string();
  check_has(commands::video_text(tensor, shape, {}, 7, "mpv"),
            {"17 frames of 64x96, 1 B", "stepvideo inspect '" + tensor});
}

BOOST_AUTO_TEST_CASE(a_run_says_its_forecast_before_it_loads_and_its_result_when_it_is_done) {
  const ScratchFolder folder;
  const fs::path output = folder / "a.mp4";
  const auto result = run_program(generate(output, four_steps));
  check_says(result, 0,
             {"17 frames of 48x32, 4 steps on the CPU: about ", " of memory",
              output.string() + ": 17 frames of 48x32 at 25 a second, 680.0 ms, ", "seed 0"});
  BOOST_CHECK_LT(result.errors.find("by the plan"), result.errors.find("load "));
  BOOST_CHECK_EQUAL(run_program(generate(output, with(four_steps, {"--quiet"}))).errors, "");
}

BOOST_AUTO_TEST_CASE(a_run_stops_after_the_steps_that_were_asked_for_and_goes_on_with_the_same_bits) {
  const ScratchFolder folder;
  const fs::path whole = folder / "whole.y4m", output = folder / "a.y4m";
  BOOST_REQUIRE_EQUAL(run_program(generate(whole, four_steps)).exit_code, 0);
  for (const StringList& ranks : {StringList{}, StringList{"--topology", "guidance=2"}}) {
    const auto stopped = run_program(generate(output, with(with(four_steps, ranks), {"--stop-after", "2"})));
    check_says(stopped, 0,
               {"stopped after step 2 of 4, as --stop-after asks", "a.y4m.steps.safetensors holds the work"});
    BOOST_CHECK(fs::exists(output.string() + ".step2.png") && !fs::exists(output));
    check_says(
        run_program(generate(output, with(with(four_steps, ranks), {"--resume", "--stop-after", "9"}))), 0,
        {"a.y4m: "});
    BOOST_CHECK(read_text(output) == read_text(whole));
    fs::remove(output.string() + ".step2.png");
    fs::remove(output);
    fs::remove(output.string() + ".json");
  }
  check_says(run_program(generate(output, {"--stop-after", "0"})), 2, {"--stop-after is 0"});
}

BOOST_AUTO_TEST_CASE(what_takes_more_than_an_hour_is_confirmed_by_who_sits_there) {
  const ScratchFolder folder;
  const auto asked = run_on_terminal(long_run(folder / "a.mp4"));
  BOOST_CHECK_EQUAL(asked.exit_code, 2);
  check_has(asked.output, {"this takes about ", "--yes begins it"});
  BOOST_CHECK(folder.names().empty());
  const auto begun = run_on_terminal(long_run(folder / "a.mp4", {"--yes", "--stop-after", "1"}));
  BOOST_CHECK_MESSAGE(begun.exit_code == 0, begun.output);
}

BOOST_AUTO_TEST_CASE(a_terminal_is_used_as_far_as_it_goes) {
  const ScratchFolder folder;
  const StringList arguments = generate(folder / "a.mp4", {"--steps", "60"});
  const auto shown = [&](unsigned short columns, const StringList& environment) {
    const auto result = run_on_terminal(arguments, columns, environment);
    BOOST_CHECK_MESSAGE(result.exit_code == 0, result.output);
    return result.output.substr(result.output.find("load Step-LLM"),
                                result.output.find("stage ") - result.output.find("load Step-LLM"));
  };
  const std::string wide = shown(200, {"TERM=xterm", "NO_COLOR="});
  check_has(wide, {"\r\x1b[K", "denoise: step ", " left"});
  BOOST_CHECK_LT(widest_line(shown(30, {"TERM=xterm", "NO_COLOR="})), 30u);
  const std::string plain = shown(80, {"TERM=xterm", "NO_COLOR=1"});
  BOOST_CHECK(!has(plain, "\x1b") && has(plain, "\rdenoise: 60 steps"));
  BOOST_CHECK(!has(shown(80, {"TERM=dumb"}), "\x1b"));
}
