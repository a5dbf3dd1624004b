// stepvideo doctor as a script sees it: exit codes, output, refusals.
#define BOOST_TEST_MODULE doctor_command
#include <filesystem>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "support/program.hpp"

using namespace stepvideo;
using testing::read_text;
using testing::run_program;
using testing::ScratchFolder;

namespace {

const std::string machines = STEPVIDEO_TEST_DATA "/machines/";

/// Exit code 2, nothing on standard output, one sentence with every phrase.
void check_refusal(std::vector<std::string> arguments, const std::vector<std::string>& phrases) {
  arguments.insert(arguments.begin(), "doctor");
  const auto result = run_program(arguments);
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_EQUAL(result.output, "");
  BOOST_CHECK_EQUAL(std::ranges::count(result.errors, '\n'), 1);
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos,
                        "'" << result.errors << "' lacks: " << phrase);
}

}  // namespace

BOOST_AUTO_TEST_CASE(exit_codes_are_the_verdicts) {
  const auto exit_code = [](const std::string& name) {
    return run_program({"doctor", "--facts", machines + name + ".json"}).exit_code;
  };
  BOOST_CHECK_EQUAL(exit_code("h200_x8_healthy"), 0);
  BOOST_CHECK_EQUAL(exit_code("laptop_without_gpu"), 0);
  BOOST_CHECK_EQUAL(exit_code("rtx4090_x3_no_peers"), 1);
  BOOST_CHECK_EQUAL(exit_code("a100_x2_busy_and_throttled"), 1);
  BOOST_CHECK_EQUAL(exit_code("h20_x8_old_cublas"), 2);
  BOOST_CHECK_EQUAL(exit_code("l40s_x4_shm_64m"), 2);
  BOOST_CHECK_EQUAL(exit_code("h100_x2_old_driver"), 2);
}
BOOST_AUTO_TEST_CASE(lines_go_to_standard_output_without_colour_and_the_sentence_is_last) {
  const auto result = run_program({"doctor", "--facts", machines + "h20_x8_old_cublas.json"});
  BOOST_CHECK_EQUAL(result.errors, "");
  BOOST_CHECK(result.output.find('\033') == std::string::npos);
  BOOST_CHECK(result.output.find("unfit    cuBLAS") != std::string::npos);
  BOOST_CHECK(result.output.ends_with("Will not run: fix cuBLAS first.\n"));
}
BOOST_AUTO_TEST_CASE(json_holds_the_checks_and_the_machine) {
  const auto result =
      run_program({"doctor", "--json", "--gpus", "4", "--facts", machines + "h200_x8_healthy.json"});
  const auto json = nlohmann::json::parse(result.output);
  BOOST_CHECK_EQUAL(json.at("exit_code"), 0);
  BOOST_CHECK_EQUAL(json.at("sentence"), "Fit to run on 4 GPUs. A run of this version uses one of them.");
  BOOST_CHECK_EQUAL(json.at("machine").at("gpus").size(), 8u);
  for (const auto& check : json.at("checks")) BOOST_CHECK(check.contains("fix"));
}
BOOST_AUTO_TEST_CASE(what_is_recorded_can_be_judged_elsewhere) {
  const ScratchFolder folder;
  const std::string file = (folder / "machine.json").string(), here = folder.path().string();
  const auto first = run_program({"doctor", "--record", file, "--output", here}, "NCCL_TIMEOUT=9");
  BOOST_CHECK(first.exit_code >= 0 && first.exit_code <= 2);
  BOOST_CHECK(first.output.find("NCCL_TIMEOUT") != std::string::npos);
  const auto again = run_program({"doctor", "--facts", file});
  BOOST_CHECK_EQUAL(again.output, first.output);
  BOOST_CHECK_EQUAL(again.exit_code, first.exit_code);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}
BOOST_AUTO_TEST_CASE(more_gpus_than_there_are_are_refused_with_all_lines) {
  const auto result = run_program({"doctor", "--gpus", "64"});
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK(result.output.find("64 of compute capability 8.0") != std::string::npos);
  BOOST_CHECK_EQUAL(result.errors, "");
}
BOOST_AUTO_TEST_CASE(the_cpu_alone_can_be_asked_for) {
  const auto result = run_program({"doctor", "--gpus", "0", "--model", STEPVIDEO_DEMO_MODEL, "--facts",
                                   machines + "h200_x8_healthy.json"});
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  BOOST_CHECK(result.output.ends_with("Fit to run on the CPU: the release fits in fp32.\n"));
}
BOOST_AUTO_TEST_CASE(wrong_requests_get_one_sentence) {
  const ScratchFolder folder;
  const auto text = read_text(machines + "rtx4090_x3_no_peers.json");
  const auto cut = folder.write("cut.json", text.substr(0, text.size() / 2)).string();
  const auto empty = folder.write("empty.json", "").string();
  const auto other = folder.write("other.json", R"({"format": 1, "build": {}})").string();
  check_refusal({"--facts", cut}, {"cut.json", "not valid JSON"});
  check_refusal({"--facts", empty}, {"empty.json", "not valid JSON"});
  check_refusal({"--facts", other}, {"other.json", "\"version\""});
  check_refusal({"--facts", (folder / "gone.json").string()}, {"gone.json", "not there"});
  check_refusal({"--fact", cut}, {"--fact", "--facts"});
  check_refusal({"--gpus", "-1"}, {"--gpus is -1"});
  check_refusal({"--gpus", "two"}, {"--gpus", "'two'"});
  check_refusal({"--facts", cut, "--record", (folder / "x.json").string()}, {"--facts and --record"});
  check_refusal({"--record", (folder / "x.txt").string()}, {"--record", ".json"});
  check_refusal({"--record", (folder / "gone/x.json").string()}, {"--record", "does not exist"});
  check_refusal({"--model", (folder / "gone").string(), "--facts", machines + "laptop_without_gpu.json"},
                {"--model", "gone"});
}
