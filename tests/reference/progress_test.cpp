#define BOOST_TEST_MODULE progress
#include "progress.hpp"

#include <csignal>
#include <cstring>
#include <sstream>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <sys/mman.h>

#include <stepvideo/core/error.hpp>

#include "interrupt.hpp"
#include "io/json.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

std::vector<io::Json> read_events(const std::filesystem::path& path) {
  std::vector<io::Json> events;
  std::istringstream lines(read_text(path));
  for (std::string line; std::getline(lines, line);) events.push_back(io::Json::parse(line));
  return events;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

constexpr std::size_t large = 200 << 20;

/// Pages from the system and back to it: AddressSanitizer's allocator would keep them for a while.
void hold_for_a_moment(std::size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  BOOST_REQUIRE(pages != MAP_FAILED);
  std::memset(pages, 1, bytes);
  munmap(pages, bytes);
}

struct Watched {
  ScratchFolder folder;
  std::ostringstream text;
  std::filesystem::path events = folder / "events.ndjson";

  Progress progress(bool is_terminal = false, bool is_quiet = false) {
    return Progress({.is_quiet = is_quiet,
                     .log_file = events,
                     .output = &text,
                     .terminal = is_terminal ? Terminal::full : Terminal::none});
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(every_stage_and_step_is_an_event, Watched) {
  auto progress = this->progress();
  progress.stage("load", 0, [](Stage&) {});
  progress.stage("denoise", 2, [](Stage& stage) {
    stage.step();
    stage.step(1.5);
    stage.log(
        {.kind = Event::Kind::collective, .layer = 3, .op = "all_to_all", .seconds = 0.25, .bytes = 1024});
  });
  const auto lines = read_events(events);
  BOOST_REQUIRE_EQUAL(lines.size(), 7u);
  const auto is = [&](std::size_t i, const char* stage, const char* event) {
    BOOST_CHECK_EQUAL(lines[i].at("stage"), stage);
    BOOST_CHECK_EQUAL(lines[i].at("event"), event);
    BOOST_CHECK_EQUAL(lines[i].at("rank"), 0);
    BOOST_CHECK_GE(lines[i].at("time").get<double>(), i > 0 ? lines[i - 1].at("time").get<double>() : 0.0);
  };
  is(0, "load", "begin");
  is(1, "load", "end");
  is(2, "denoise", "begin");
  is(3, "denoise", "step");
  is(4, "denoise", "step");
  is(5, "denoise", "collective");
  is(6, "denoise", "end");
  BOOST_CHECK_EQUAL(lines[3].at("step"), 1);
  BOOST_CHECK_GE(lines[3].at("seconds").get<double>(), 0.0);
  BOOST_CHECK(!lines[3].contains("predicted_seconds"));
  BOOST_CHECK_EQUAL(lines[4].at("predicted_seconds"), 1.5);
  BOOST_CHECK_EQUAL(lines[5].at("layer"), 3);
  BOOST_CHECK_EQUAL(lines[5].at("op"), "all_to_all");
  BOOST_CHECK_EQUAL(lines[5].at("bytes"), 1024);
  BOOST_CHECK_GT(lines[6].at("peak_bytes").get<std::uint64_t>(), 1u << 20);
  BOOST_CHECK_GE(lines[6].at("seconds").get<double>(), 0.0);
}
BOOST_FIXTURE_TEST_CASE(events_are_in_the_file_at_once, Watched) {
  auto progress = this->progress();
  progress.stage("denoise", 2, [&](Stage& stage) {
    stage.step();
    BOOST_CHECK_EQUAL(read_events(events).size(), 2u);
  });
}
BOOST_FIXTURE_TEST_CASE(a_failing_stage_is_an_error_event_and_the_exception_goes_on, Watched) {
  auto progress = this->progress();
  BOOST_CHECK_THROW(progress.stage("decode", 0, [](Stage&) { throw Error("frame 3 holds NaN"); }), Error);
  const auto lines = read_events(events);
  BOOST_REQUIRE_EQUAL(lines.size(), 2u);
  BOOST_CHECK_EQUAL(lines[1].at("event"), "error");
  BOOST_CHECK_EQUAL(lines[1].at("message"), "frame 3 holds NaN");
}
BOOST_FIXTURE_TEST_CASE(a_stage_returns_what_its_work_returns, Watched) {
  auto progress = this->progress();
  const auto moved = progress.stage("load", 0, [](Stage&) { return std::make_unique<int>(7); });
  BOOST_CHECK_EQUAL(*moved, 7);
}
BOOST_FIXTURE_TEST_CASE(away_from_a_terminal_there_are_plain_lines, Watched) {
  auto progress = this->progress();
  progress.stage("denoise", 3, [](Stage& stage) {
    for (int i = 0; i < 3; ++i) stage.step();
    stage.warn("the mask is empty");
  });
  BOOST_CHECK(!has(text.str(), "\r") && !has(text.str(), "\x1b"));
  BOOST_CHECK(has(text.str(), "denoise: 3 steps\n"));
  BOOST_CHECK(!has(text.str(), "step 2"));  // the last lines were less than seconds ago
  BOOST_CHECK(has(text.str(), "warning: the mask is empty\n"));
  BOOST_CHECK(has(text.str(), "denoise: done in "));
}
BOOST_FIXTURE_TEST_CASE(a_terminal_shows_one_line_with_the_time_left, Watched) {
  auto progress = this->progress(true);
  progress.stage("denoise", 3, [&](Stage& stage) {
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    stage.step();
    BOOST_CHECK(has(text.str(), "denoise: step 1 of 3, "));
    BOOST_CHECK(has(text.str(), " left"));
    BOOST_CHECK(!has(text.str(), "\n"));
  });
}
BOOST_FIXTURE_TEST_CASE(quiet_silences_the_text_and_keeps_the_events, Watched) {
  auto progress = this->progress(true, true);
  progress.stage("denoise", 1, [](Stage& stage) {
    stage.step();
    stage.warn("unheard");
  });
  progress.print_summary();
  BOOST_CHECK_EQUAL(text.str(), "");
  BOOST_CHECK_EQUAL(read_events(events).size(), 4u);
}
BOOST_FIXTURE_TEST_CASE(other_ranks_are_silent_and_sign_their_events, Watched) {
  Progress progress({.log_file = events, .rank = 3, .output = &text});
  progress.stage("denoise", 0, [](Stage&) {});
  BOOST_CHECK_EQUAL(text.str(), "");
  BOOST_CHECK_EQUAL(read_events(events).at(0).at("rank"), 3);
}
BOOST_FIXTURE_TEST_CASE(the_summary_lists_every_stage_with_seconds_and_peak, Watched) {
  auto progress = this->progress();
  progress.stage("load", 0, [](Stage&) {});
  progress.stage("decode", 0, [](Stage&) {});
  text.str("");
  progress.print_summary();
  for (const char* word : {"stage", "seconds", "peak", " MB\n", "\nload ", "\ndecode ", "\ntotal "})
    BOOST_CHECK_MESSAGE(has(text.str(), word), "lacks " << word << ":\n" << text.str());
}
BOOST_AUTO_TEST_CASE(the_peak_is_of_the_stage_where_the_system_can_reset_it) {
  PeakMemory memory;
  BOOST_REQUIRE_GT(memory.bytes(), 0u);
  hold_for_a_moment(large);
  BOOST_CHECK_GT(memory.bytes(), large);
  if (memory.reset()) BOOST_CHECK_LT(memory.bytes(), large);
}
BOOST_FIXTURE_TEST_CASE(a_stages_peak_is_that_of_its_largest_step_with_a_log_and_without, Watched) {
  Progress silent({.is_quiet = true});
  Progress logged = progress();
  for (Progress* const progress : {&silent, &logged}) {
    progress->stage("denoise", 3, [](Stage& stage) {
      stage.step();
      hold_for_a_moment(large);
      stage.step();
      stage.step();
    });
    BOOST_CHECK_GT(progress->stages().back().peak_bytes, large);
  }
}
BOOST_AUTO_TEST_CASE(a_system_that_does_not_forget_the_peak_is_noticed) {
  const ScratchFolder folder;
  folder.write("status", "VmHWM:\t  900000 kB\nVmRSS:\t  100000 kB\n");
  PeakMemory memory(folder.path());
  BOOST_CHECK_EQUAL(memory.bytes(), 900000u * 1024);
  BOOST_CHECK(!memory.reset());
  folder.write("status", "VmHWM:\t  100004 kB\nVmRSS:\t  100000 kB\n");
  BOOST_CHECK(memory.reset());
  BOOST_CHECK(!PeakMemory(folder / "gone").reset());
}
BOOST_AUTO_TEST_CASE(a_log_file_that_cannot_be_written_is_refused_naming_the_flag) {
  const ScratchFolder folder;
  check_refused([&] { Progress({.log_file = folder / "no/events.ndjson"}); },
                {"--log-file", "does not exist"});
  check_refused([&] { Progress({.log_file = folder.path()}); }, {"--log-file", "cannot be written"});
}
BOOST_AUTO_TEST_CASE(an_interrupt_is_answered_with_the_time_it_takes) {
  RunningStage running;
  BOOST_CHECK_EQUAL(running.stop_text(), "stopping; again stops now");
  running.begin("load transformer", 0, {});
  BOOST_CHECK_EQUAL(running.stop_text(), "stopping after stage 'load transformer'; again stops now");
  running.begin("denoise", 50, {});
  BOOST_CHECK_EQUAL(running.stop_text(), "stopping after this step; again stops now");
  running.begin("denoise", 50, 7200.0);
  BOOST_CHECK_EQUAL(running.stop_text(), "stopping after this step, in about 2 h 00 min; again stops now");
  running.skip(3);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  running.step(4);
  const std::string measured = running.stop_text();
  BOOST_CHECK_MESSAGE(measured.find("in about ") != measured.npos && measured.find(" ms;") != measured.npos,
                      measured);
  running.end();
  BOOST_CHECK_EQUAL(running.stop_text() + running.name(), "stopping; again stops now");
}
// Last: the flag stays set.
BOOST_FIXTURE_TEST_CASE(a_signal_stops_the_run_at_the_next_step_and_lets_the_last_one_end, Watched) {
  catch_interrupts();
  BOOST_CHECK(!is_interrupted());
  BOOST_CHECK_NO_THROW(throw_if_interrupted("now"));
  auto progress = this->progress();
  const auto steps = [](Stage& stage, int raise_at) {
    for (int i = 1; i <= 50; ++i) {
      if (i == raise_at) std::raise(SIGINT);
      stage.step();
    }
    return 7;
  };
  BOOST_CHECK_EXCEPTION(progress.stage("denoise", 50, [&](Stage& stage) { return steps(stage, 12); }),
                        Interrupted, [](const Interrupted& error) {
                          return std::string(error.what()) ==
                                 "interrupted after step 12 of 50; nothing was written";
                        });
  BOOST_CHECK(is_interrupted() && !is_stopped_at_once());
  BOOST_CHECK_EQUAL(interrupt_exit_code(), 130);
  BOOST_CHECK_EQUAL(read_events(events).back().at("event"), "error");
  BOOST_CHECK_THROW(progress.stage("decode", 0, [](Stage&) {}), Interrupted);
  BOOST_CHECK_EQUAL(read_events(events).back().at("message"),
                    "interrupted before stage 'decode'; nothing was written");
}
