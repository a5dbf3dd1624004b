// ramp as a user meets it, on the demo model.
#define BOOST_TEST_MODULE ramp_command
#include <csignal>
#include <filesystem>

#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;

/// A small ramp; its temporary folders go to `scratch`.
testing::ProgramResult ramp(const ScratchFolder& scratch, const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"ramp", "--model", demo};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return testing::run_program(arguments, "OMP_WAIT_POLICY=passive TMPDIR='" + scratch.path().string() + "'");
}

void check_has(const std::string& text, const std::vector<std::string>& phrases) {
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

void check_refusal(const std::vector<std::string>& more, const std::vector<std::string>& phrases) {
  const ScratchFolder scratch;
  const auto result = ramp(scratch, more);
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_MESSAGE(
      result.errors.starts_with("stepvideo: ") && result.errors.find('\n') + 1 == result.errors.size(),
      "not one sentence: " << result.errors);
  check_has(result.errors, phrases);
  BOOST_CHECK(scratch.names().empty());
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_small_request_is_climbed_and_estimated_and_leaves_nothing) {
  const ScratchFolder scratch;
  // A factor that no hiccup of a busy machine reaches.
  const auto result = ramp(scratch, {"--prompt", "a red circle", "--frames", "17", "--height", "48",
                                     "--width", "48", "--steps", "8", "--factor", "100"});
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  BOOST_CHECK_EQUAL(result.errors, "");
  check_has(result.output,
            {"17 frames of 32x32, 2 steps", "this size calibrates", "17 frames of 48x48, 4 steps",
             "no surprise", "the request itself, 17 frames of 48x48, 8 steps", "90 %", "denoise"});
  BOOST_CHECK(scratch.names().empty());
}

BOOST_AUTO_TEST_CASE(a_bound_that_is_too_low_stops_with_its_reason) {
  const ScratchFolder scratch;
  const auto memory = ramp(scratch, {"--prompt", "", "--memory-limit", "0.001", "--quiet"});
  BOOST_CHECK_EQUAL(memory.exit_code, 1);
  check_has(memory.output,
            {"stopped: 17 frames of 32x32, 2 steps", "--memory-limit 1 MB", "nothing was learned"});
  check_has(memory.errors, {"surprise"});
  const auto time = ramp(scratch, {"--prompt", "--dashes", "--time-limit", "0.001"});
  BOOST_CHECK_EQUAL(time.exit_code, 2);  // a value that begins with dashes is written with =
  const auto soon = ramp(scratch, {"--prompt=--dashes", "--time-limit", "0.001"});
  BOOST_CHECK_EQUAL(soon.exit_code, 1);
  check_has(soon.output, {"--time-limit 1.0 ms"});
  BOOST_CHECK(scratch.names().empty());
}

BOOST_AUTO_TEST_CASE(an_interrupt_stops_orderly_and_leaves_nothing) {
  const ScratchFolder scratch, logs;
  const std::string out = (logs / "out").string(), errors = (logs / "err").string();
  const std::string line = "TMPDIR='" + scratch.path().string() +
                           "' timeout --foreground --preserve-status --signal=INT 2 '" STEPVIDEO_PROGRAM
                           "' ramp --model '" +
                           demo + "' --prompt x --frames 340 --height 512 --width 512 --steps 5000 >'" + out +
                           "' 2>'" + errors + "'";
  const int status = std::system(line.c_str());
  BOOST_CHECK(WIFEXITED(status));
  BOOST_CHECK_EQUAL(WEXITSTATUS(status), 130);
  check_has(testing::read_text(errors), {"ramp was interrupted"});
  check_has(testing::read_text(out), {"stopped: interrupted"});
  BOOST_CHECK(scratch.names().empty());
}

BOOST_AUTO_TEST_CASE(wrong_requests_are_refused_in_one_sentence) {
  check_refusal({}, {"--prompt is missing"});
  check_refusal({"--prompt", "x", "--time-limit", "0"}, {"--time-limit is 0"});
  check_refusal({"--prompt", "x", "--time-limit", "nan"}, {"--time-limit"});
  check_refusal({"--prompt", "x", "--memory-limit", "-1"}, {"--memory-limit is -1"});
  check_refusal({"--prompt", "x", "--factor", "1"}, {"--factor is 1"});
  check_refusal({"--prompt", "x", "--frames", "20"}, {"20 frames", "nearest valid size"});
  check_refusal({"--prompt", "x", "--steps", "0"}, {"steps is 0"});
  check_refusal({"--prompt", "\xff"}, {"--prompt", "UTF-8"});
  check_refusal({"--prompt", "x", "--log-file", "/no/such/folder/log"}, {"--log-file"});
  check_refusal({"--prompt", "x", "--time-shift", "0", "--quiet"}, {"time shift"});
}

BOOST_AUTO_TEST_CASE(the_log_of_the_last_size_is_kept_where_asked) {
  const ScratchFolder scratch, logs;
  const auto log = (logs / "events.ndjson").string();
  const auto result = ramp(scratch, {"--prompt", "x", "--frames", "1", "--height", "32", "--width", "32",
                                     "--steps", "4", "--factor", "100", "--quiet", "--log-file", log});
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  BOOST_CHECK_EQUAL(testing::run_program({"explain", log}).exit_code, 0);
}
