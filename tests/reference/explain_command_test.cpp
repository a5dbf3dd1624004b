// explain as a user meets it: what it prints, and what it refuses in one sentence.
#define BOOST_TEST_MODULE explain_command
#include <nlohmann/json.hpp>

#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::string events = STEPVIDEO_TEST_DATA "/events";
constexpr auto whole_line = R"({"time":0,"rank":0,"stage":"decode","event":"begin"})"
                            "\n";

testing::ProgramResult explain(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "explain");
  return testing::run_program(arguments);
}

void check_refusal(std::vector<std::string> arguments, const std::vector<std::string>& phrases) {
  const auto result = explain(std::move(arguments));
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_EQUAL(result.output, "");
  BOOST_CHECK_MESSAGE(
      result.errors.starts_with("stepvideo: ") && result.errors.find('\n') + 1 == result.errors.size(),
      "not one sentence: " << result.errors);
  BOOST_CHECK_LT(result.errors.size(), 600u);
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos,
                        result.errors << " lacks: " << phrase);
}

void check_log_refused(const std::string& contents, const std::vector<std::string>& phrases) {
  const ScratchFolder folder;
  check_refusal({folder.write("run.ndjson", contents).string()}, phrases);
}

testing::ProgramResult explain_text(const std::string& contents) {
  const ScratchFolder folder;
  return explain({folder.write("run.ndjson", contents).string()});
}

}  // namespace

BOOST_AUTO_TEST_CASE(several_files_or_their_folder_are_one_run) {
  const auto folder = explain({events + "/straggler"});
  const auto files = explain({events + "/straggler/rank1.ndjson", events + "/straggler/rank0.ndjson",
                              events + "/straggler/rank3.ndjson", events + "/straggler/rank2.ndjson"});
  BOOST_CHECK_EQUAL(folder.exit_code, 0);
  BOOST_CHECK_EQUAL(folder.errors, "");
  BOOST_CHECK_EQUAL(folder.output, files.output);
  BOOST_CHECK_NE(folder.output.find("rank 2 is late"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(json_is_whole) {
  const auto result = explain({"--json", events + "/two_ranks"});
  const auto json = nlohmann::json::parse(result.output);
  BOOST_CHECK_EQUAL(json.at("state"), "finished");
  BOOST_CHECK_EQUAL(json.at("stages").size(), 2u);
  BOOST_CHECK_EQUAL(json.at("shares").size(), 2u);
  BOOST_CHECK_EQUAL(json.at("clocks").at(1).at("offset_seconds"), 12.5);
  const auto compared = explain({"--compare", "--json", events + "/two_ranks", events + "/slow_link"});
  BOOST_CHECK(nlohmann::json::parse(compared.output).contains("changed"));
}

BOOST_AUTO_TEST_CASE(a_log_that_a_run_wrote_is_explained) {
  const ScratchFolder folder;
  const auto log = (folder / "run.ndjson").string();
  const auto run = testing::run_program({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--prompt",
                                         "a red circle", "--steps", "3", "--quiet", "--log-file", log,
                                         "--output", (folder / "a.safetensors").string()});
  BOOST_REQUIRE_EQUAL(run.exit_code, 0);
  const auto json = nlohmann::json::parse(explain({log, "--json"}).output);
  BOOST_CHECK_EQUAL(json.at("state"), "finished");
  BOOST_CHECK(json.at("facts").contains("threads"));
  bool has_bytes = false;
  for (const auto& stage : json.at("stages"))
    if (stage.at("stage") == "load transformer") has_bytes = stage.at("ranks").at(0).at("bytes") > 1000000;
  BOOST_CHECK(has_bytes);
}

BOOST_AUTO_TEST_CASE(a_log_that_is_cut_within_a_line_is_explained) {
  const auto result = explain_text(std::string(whole_line) + R"({"time":1,"rank":0,"sta)");
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  BOOST_CHECK_NE(result.output.find("last line is cut"), std::string::npos);
  BOOST_CHECK_EQUAL(explain_text(std::string(whole_line) + std::string(4096, '\0')).exit_code, 0);
  // Whole, and only the newline is missing.
  BOOST_CHECK_EQUAL(explain_text(std::string(whole_line, std::string(whole_line).size() - 1)).exit_code, 0);
}

BOOST_AUTO_TEST_CASE(a_line_of_ten_megabytes_works_or_is_refused_in_a_short_sentence) {
  const std::string huge(10 << 20, 'x');
  const auto works = explain_text(
      whole_line + (R"({"time":1,"rank":0,"stage":"decode","event":"end","notes":")" + huge + "\"}\n"));
  BOOST_CHECK_EQUAL(works.exit_code, 0);
  check_log_refused(whole_line + huge + "\n" + whole_line, {"line 2", "not valid JSON"});
}

BOOST_AUTO_TEST_CASE(what_is_no_log_is_refused) {
  check_refusal({"/no/such/events.ndjson"}, {"/no/such/events.ndjson is not there"});
  check_refusal({}, {"no log is named"});
  check_refusal({""}, {"empty"});
  check_refusal({"--compare", events + "/cut"}, {"--compare takes two", "1 is given"});
  check_refusal({events + "/two_ranks", events + "/slow_link"}, {"both hold rank 0", "--compare"});
  check_refusal({STEPVIDEO_TEST_DATA "/golden"}, {"holds no .ndjson file"});
  check_refusal({"--jsno", events + "/cut"}, {"did you mean --json?"});
  check_refusal({STEPVIDEO_DEMO_MODEL "/vae/vae_v2.safetensors"}, {"vae_v2.safetensors"});
  check_log_refused("", {"run.ndjson", "holds no whole event"});
  check_log_refused(R"({"time":1,"ra)", {"holds no whole event"});
  check_log_refused("time,rank,stage\n1,2,3\n", {"line 1", "not valid JSON"});
  check_log_refused("[1, 2]\n", {"line 1", "no JSON object"});
  check_log_refused("{\n  \"time\": 1\n}\n", {"line 1"});
  check_log_refused(whole_line + std::string(100000, '[') + "\n", {"line 2", "deeper"});
}

BOOST_AUTO_TEST_CASE(a_field_that_is_missing_or_of_the_wrong_kind_is_named_with_its_line) {
  const auto line = [](const std::string& fields) { return whole_line + ("{" + fields + "}\n"); };
  check_log_refused(line(R"("rank":0,"stage":"a","event":"end")"), {"line 2", "\"time\""});
  check_log_refused(line(R"("time":1,"stage":"a","event":"end")"), {"line 2", "\"rank\""});
  check_log_refused(line(R"("time":1,"rank":0,"event":"end")"), {"line 2", "\"stage\""});
  check_log_refused(line(R"("time":1,"rank":0,"stage":"a")"), {"line 2", "\"event\""});
  check_log_refused(line(R"("time":"1","rank":0,"stage":"a","event":"end")"), {"\"time\"", "number"});
  check_log_refused(line(R"("time":-1,"rank":0,"stage":"a","event":"end")"), {"\"time\"", "0 to 1e+18"});
  check_log_refused(line(R"("time":1e300,"rank":0,"stage":"a","event":"end")"), {"\"time\"", "0 to 1e+18"});
  check_log_refused(line(R"("time":1e999,"rank":0,"stage":"a","event":"end")"), {"line 2"});
  check_log_refused(line(R"("time":1,"rank":-1,"stage":"a","event":"end")"), {"rank is -1"});
  check_log_refused(line(R"("time":1,"rank":0,"stage":"a","event":"step","step":"two")"), {"\"step\""});
  check_log_refused(line(R"("time":1,"rank":0,"stage":"a","event":"end","seconds":[])"), {"\"seconds\""});
  check_log_refused(line(R"("time":1,"rank":0,"stage":"a","event":"end","bytes":-5)"), {"\"bytes\""});
}
