// Runs that are stopped from outside.
#define BOOST_TEST_MODULE stop
#include <chrono>
#include <sstream>

#include <sys/stat.h>

#include "io/json.hpp"
#include "io/manifest.hpp"
#include "pipeline/step_file.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

StringList generate(const fs::path& output, const StringList& more, const std::string& log = {}) {
  return with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt", "a red circle",
               "--log-file", log.empty() ? output.string() + ".log" : log, "--output", output.string()},
              more);
}
/// Whose steps take seconds.
const StringList long_steps{"--frames", "34", "--height", "256", "--width", "256", "--steps", "1000"};
const StringList few_short_steps{"--frames", "17", "--height", "32", "--width", "32", "--steps", "3"};

std::string shell_words(const StringList& arguments) {
  std::string line = "'" STEPVIDEO_PROGRAM "'";
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  return line;
}

int steps_in(const fs::path& file) {
  return io::read_manifest(file).value_or(io::Json::object()).value("step", 0);
}

/// The last step that the log tells.
int last_step_of(const fs::path& log) {
  int step = 0;
  std::istringstream lines(read_text(log));
  for (std::string line; std::getline(lines, line);) step = io::Json::parse(line).value("step", step);
  return step;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_does_not_wait_for_the_step_keeps_the_last_finished_one_within_two_seconds) {
  const std::vector<std::pair<std::vector<int>, int>> cases{
      {{SIGINT, SIGINT}, 130}, {{SIGTERM}, 143}, {{SIGHUP}, 129}};
  for (const auto& [signals, code] : cases) {
    const ScratchFolder folder;
    const fs::path output = folder / "a.mp4", log = folder / "a.mp4.log";
    const auto stopped = stop_at(generate(output, long_steps), log, R"("event":"step","step":1)", signals);
    check_says(stopped, code, {"a.mp4.steps.safetensors holds the work", "--resume goes on"});
    BOOST_CHECK_LT(stopped.time.count(), 2000);
    BOOST_CHECK_GE(steps_in(pipeline::step_file_of(output)), 1);
    BOOST_CHECK_EQUAL(steps_in(pipeline::step_file_of(output)), last_step_of(log));
    BOOST_CHECK_EQUAL(folder.names().size(), 2u);  // the log and the work
  }
}

BOOST_AUTO_TEST_CASE(a_library_that_ends_the_process_loses_no_finished_step) {
  const ScratchFolder folder;
  const fs::path output = folder / "a.mp4";
  const auto stopped =
      stop_at(generate(output, long_steps), folder / "a.mp4.log", R"("event":"step","step":1)", {SIGUSR2},
              {"LD_PRELOAD=" STEPVIDEO_EXIT_ON_SIGNAL});
  check_says(stopped, 1, {"stepvideo: a library ended the process", "--resume goes on"});
  BOOST_CHECK_GE(steps_in(pipeline::step_file_of(output)), 1);
}

BOOST_AUTO_TEST_CASE(a_decode_in_the_middle_of_its_chunk_is_stopped_and_leaves_the_work_alone) {
  const ScratchFolder folder;
  const fs::path output = folder / "a.mp4";
  const auto stopped =
      stop_at(generate(output, {"--frames", "17", "--height", "400", "--width", "400", "--steps", "1"}),
              folder / "a.mp4.log", R"("stage":"decode","event":"begin")", {SIGTERM});
  check_says(stopped, 143, {"stopped by SIGTERM; ", "a.mp4.steps.safetensors holds the work"});
  BOOST_CHECK_LT(stopped.time.count(), 2000);
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);
}

BOOST_AUTO_TEST_CASE(a_signal_that_the_starter_has_ignored_stays_ignored) {
  const ScratchFolder folder;
  StringList steps = few_short_steps;
  steps.back() = "60";
  const std::string script =
      "trap '' INT HUP; " + shell_words(generate(folder / "a.mp4", steps)) +
      " 2>/dev/null & p=$!; for i in 1 2 3 4 5 6; do sleep 0.05; kill -INT $p; kill -HUP $p; "
      "done 2>/dev/null; wait $p";
  BOOST_CHECK_EQUAL(exit_code_of(std::system(script.c_str())), 0);
  BOOST_CHECK(fs::exists(folder / "a.mp4"));
}

BOOST_AUTO_TEST_CASE(a_reader_of_the_progress_that_leaves_does_not_end_the_run) {
  const ScratchFolder folder;
  const std::string code = (folder / "code").string();
  const std::string script = "{ " + shell_words(generate(folder / "a.mp4", few_short_steps)) +
                             " 2>&1; echo $? >'" + code + "'; } | head -n 1 >/dev/null";
  BOOST_REQUIRE_EQUAL(std::system(script.c_str()), 0);
  BOOST_CHECK_EQUAL(read_text(code), "0\n");
  BOOST_CHECK(fs::exists(folder / "a.mp4"));
}

BOOST_AUTO_TEST_CASE(files_that_may_not_grow_are_an_error_and_not_the_end) {
  const ScratchFolder folder;
  const auto result = run_program(generate(folder / "a.y4m", few_short_steps, "/dev/null"), "ulimit -f 16;");
  check_says(result, 1, {"a.y4m", "cannot be written"});
}

BOOST_AUTO_TEST_CASE(a_log_goes_through_a_pipe_whose_reader_comes_late_or_leaves) {
  const ScratchFolder folder;
  const std::string pipe = (folder / "log").string(), events = (folder / "events").string();
  BOOST_REQUIRE_EQUAL(mkfifo(pipe.c_str(), 0600), 0);
  const std::string run = shell_words(generate(folder / "a.mp4", few_short_steps, pipe));
  const std::string late =
      "{ sleep 0.3; cat '" + pipe + "' >'" + events + "'; } & " + run + " 2>/dev/null && wait";
  BOOST_CHECK_EQUAL(exit_code_of(std::system(late.c_str())), 0);
  BOOST_CHECK(read_text(events).find(R"("stage":"decode","event":"end")") != std::string::npos);
  fs::remove(folder / "a.mp4");
  const std::string leaves = "head -n 1 '" + pipe + "' >/dev/null & " + run + " 2>'" + events + "'";
  BOOST_CHECK_EQUAL(exit_code_of(std::system(leaves.c_str())), 0);
  BOOST_CHECK(fs::exists(folder / "a.mp4"));
  BOOST_CHECK(read_text(events).find("no more events are written") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_pipe_that_nobody_reads_is_named_and_obeys_signals) {
  const ScratchFolder folder;
  const std::string pipe = (folder / "log").string();
  BOOST_REQUIRE_EQUAL(mkfifo(pipe.c_str(), 0600), 0);
  const std::string errors = (folder / "err").string();
  const pid_t process = start_program(generate(folder / "a.mp4", few_short_steps, pipe), errors);
  while (!fs::exists(errors) || read_text(errors).find("has no reader") == std::string::npos)
    std::this_thread::sleep_for(10ms);
  kill(process, SIGTERM);
  BOOST_CHECK((wait_for_processes({process}, 2s) == std::vector{143}));
  BOOST_CHECK(read_text(errors).find("interrupted while waiting for a reader of --log-file") !=
              std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_log_whose_reader_sleeps_does_not_hold_the_run) {
  const ScratchFolder folder;
  const std::string pipe = (folder / "log").string();
  BOOST_REQUIRE_EQUAL(mkfifo(pipe.c_str(), 0600), 0);
  StringList steps = few_short_steps;
  steps.back() = "900";  // of 80 bytes and more each: a pipe holds 64 KiB
  const std::string run = "sleep 20 <'" + pipe + "' & " +
                          shell_words(generate(folder / "a.mp4", steps, pipe)) +
                          " 2>/dev/null; code=$?; kill $!; exit $code";
  BOOST_CHECK_EQUAL(exit_code_of(std::system(run.c_str())), 0);
  BOOST_CHECK(fs::exists(folder / "a.mp4"));
}
