// stepvideo plan as a user calls it.
#define BOOST_TEST_MODULE plan_command
#include <algorithm>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "support/program.hpp"

using namespace stepvideo;

namespace {

testing::ProgramResult plan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "plan");
  return testing::run_program(arguments);
}

/// One sentence on standard error, exit code 2, nothing else.
void check_refusal(const std::vector<std::string>& arguments, const std::string& phrase) {
  const auto result = plan(arguments);
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_EQUAL(result.output, "");
  BOOST_CHECK_EQUAL(std::ranges::count(result.errors, '\n'), 1);
  BOOST_CHECK_MESSAGE(result.errors.find(phrase) != result.errors.npos,
                      "'" << result.errors << "' lacks: " << phrase);
}

}  // namespace

BOOST_AUTO_TEST_CASE(odd_counts_of_gpus_get_a_plan) {
  for (const char* gpus : {"3", "5", "7"}) {
    const auto result = plan({"--gpus", gpus});
    BOOST_CHECK_EQUAL(result.exit_code, 0);
    BOOST_CHECK_EQUAL(result.errors, "");
    BOOST_CHECK(result.output.find("* best: ") != result.output.npos);
    BOOST_CHECK(result.output.find("deadline") != result.output.npos);
  }
}

BOOST_AUTO_TEST_CASE(the_rule_behind_a_forbidden_topology_is_printed) {
  const auto result = plan({"--gpus", "49"});
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  BOOST_CHECK(result.output.find("49 is more than 48 heads") != result.output.npos);
}

BOOST_AUTO_TEST_CASE(json_is_one_object_with_every_topology) {
  const auto result = plan({"--gpus", "8", "--gpu", "h20", "--json"});
  const auto json = nlohmann::json::parse(result.output);
  BOOST_CHECK_EQUAL(json.at("tokens"), 75'888);
  BOOST_CHECK_EQUAL(json.at("transformer_parameters"), 29'342'478'400.0);
  BOOST_CHECK_EQUAL(json.at("topologies").size(), 16);
  for (const auto& topology : json.at("topologies")) {
    BOOST_CHECK_EQUAL(topology.at("phases").size(), 3);
    BOOST_CHECK_GT(topology.at("peak_bytes"), 0);
  }
  BOOST_CHECK_EQUAL(json.at("best"), json.at("topologies").at(0).at("topology"));
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_a_plan_with_remedies) {
  const auto result = plan({"--gpu", "rtx4090"});
  BOOST_CHECK_EQUAL(result.exit_code, 1);
  BOOST_CHECK(result.output.find("what would fit\n  weights streamed") != result.output.npos);
}

BOOST_AUTO_TEST_CASE(the_demo_model_brings_its_own_sizes) {
  const auto result = plan({"--gpu", "cpu", "--model", STEPVIDEO_DEMO_MODEL});
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  BOOST_CHECK(result.output.starts_with("17 frames of 96x96, 16 steps, fp32 on 1 x cpu"));
}

BOOST_AUTO_TEST_CASE(wrong_requests_are_one_sentence) {
  check_refusal({"--gpus", "0"}, "--gpus is 0");
  check_refusal({"--gpus", "-4"}, "--gpus is -4");
  check_refusal({"--gpus", "99999999999"}, "--gpus");
  check_refusal({"--steps", "0"}, "--steps is 0");
  check_refusal({"--frames", "200"}, "204 frames of 992x544");
  check_refusal({"--height", "-16"}, "nearest valid size");
  check_refusal({"--gpu", "h300"}, "h200, h100, h20, a100, l40s, rtx4090, cpu");
  check_refusal({"--link", "wire"}, "nvlink, nvlink3, pcie, host");
  check_refusal({"--precision", "int4"}, "fp32, bf16 and fp8");
  check_refusal({"--gpu", "a100", "--precision", "fp8"}, "fp32 or bf16 works");
  check_refusal({"--model", "/no/such/folder"}, "/no/such/folder");
}
