// What the command bench refuses, in one sentence and before it measures anything.
#define BOOST_TEST_MODULE bench_command
#include <boost/test/unit_test.hpp>

#include "commands/bench_device.hpp"
#include "commands/bench_transformer.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

void check_refusal(std::vector<std::string> arguments, const std::string& phrase) {
  arguments.insert(arguments.begin(), "bench");
  const auto result = testing::run_program(arguments);
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_EQUAL(result.output, "");
  BOOST_CHECK_MESSAGE(
      result.errors.starts_with("stepvideo: ") && result.errors.find('\n') + 1 == result.errors.size(),
      "not one sentence: " << result.errors);
  BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos, result.errors << " lacks: " << phrase);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_machine_or_a_build_without_a_gpu_says_so) {
  if (commands::can_bench_device()) {
    check_refusal({"kernels", "--device", "cuda", "--only", "layer_nrom"}, "layer_norm");
    return;
  }
  check_refusal({"kernels", "--device", "cuda"}, "--device cpu works");
  check_refusal({"kernels", "--pytorch", "python3"}, "--device cpu works");
}
BOOST_AUTO_TEST_CASE(flags_of_the_gpus_table_are_refused_for_the_cpu) {
  check_refusal({"kernels", "--device", "cpu", "--json", "x.json"}, "--json");
  check_refusal({"--device", "cpu", "--only", "layer_norm"}, "--only");
}
BOOST_AUTO_TEST_CASE(a_model_is_not_timed_on_the_gpu) {
  check_refusal({"--device", "cuda", "--model", STEPVIDEO_DEMO_MODEL}, "--model");
  check_refusal({"kernels", "--model", STEPVIDEO_DEMO_MODEL}, "unknown flag --model");
}
BOOST_AUTO_TEST_CASE(other_devices_and_other_tables_do_not_exist) {
  check_refusal({"kernels", "--device", "tpu"}, "--device: 'tpu' is not one of auto, cpu and cuda");
  check_refusal({"models"}, "bench has no part 'models'; kernels, linear, transformer, encoders, vae and links are");
}
BOOST_AUTO_TEST_CASE(figures_that_could_not_be_written_are_refused_before_the_work) {
  check_refusal({"kernels", "--device", "cuda", "--json", "no/such/folder/x.json"}, "--json");
  check_refusal({"kernels", "--device", "cuda", "--json", "figures.txt"}, ".json");
}
BOOST_AUTO_TEST_CASE(a_search_that_cannot_be_is_refused_before_it_begins) {
  check_refusal({"linear", "--precision", "bf16,fp8"}, "'fp8' is none of bf16, fp16 and fp32");
  check_refusal({"linear", "--save", "no/such/folder/x.json"}, "--save");
  check_refusal({"linear", "--save", "table.txt"}, ".json");
  if (!commands::can_bench_device()) check_refusal({"linear"}, "bench linear: this");
}
BOOST_AUTO_TEST_CASE(a_bench_of_models_that_cannot_be_is_refused_before_it_begins) {
  check_refusal({"transformer", "--layers", "2"}, "--layers is 2");
  check_refusal({"transformer", "--frames", "18"}, "the nearest valid size is");
  check_refusal({"transformer", "--matrix-seconds", "0"}, "--matrix-seconds is 0");
  for (const char* bench : {"transformer", "encoders"}) {
    if (commands::can_bench_models())
      check_refusal({bench, "--device", "cpu"}, "--device cpu: a GPU is to be measured");
    if (!commands::can_bench_device())
      check_refusal({bench}, commands::can_bench_models() ? "--device cuda" : bench);
  }
}
BOOST_AUTO_TEST_CASE(help_names_the_flags) {
  const auto result = testing::run_program({"bench", "kernels", "--help"});
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  for (const char* flag : {"--device", "--only", "--pytorch", "--json"})
    BOOST_CHECK_NE(result.output.find(flag), std::string::npos);
}
