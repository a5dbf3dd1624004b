// Every golden through the command line, as a script would call it.
#define BOOST_TEST_MODULE command_line_golden
#include <algorithm>

#include "io/checkpoint.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::string golden = STEPVIDEO_TEST_DATA "/golden";

/// Runs the command twice, in float32 and bf16, and compares `tensor` of its output with `expected_tensor`.
void check_command(std::vector<std::string> arguments, const std::string& tensor,
                   const std::string& expected_file, const std::string& expected_tensor) {
  const auto expected = io::Checkpoint::open(golden + "/" + expected_file).load<float>(expected_tensor);
  for (const auto& [precision, bound] :
       {std::pair{"fp32", testing::fp32_bound}, std::pair{"bf16", testing::bf16_bound}}) {
    const ScratchFolder scratch;
    const std::string output = (scratch / "out.safetensors").string();
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--precision", precision, "--output", output, "--quiet"});
    const auto result = testing::run_program(all);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, arguments[0] << ": " << result.errors);
    BOOST_CHECK_EQUAL(result.errors, "");
    BOOST_CHECK_EQUAL(scratch.names().size(), 1u);  // and nothing else
    STEPVIDEO_CHECK_CLOSE(io::Checkpoint::open(output).load<float>(tensor), expected, bound);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(transformer_matches) {
  check_command(
      {"transformer", "--model", golden + "/dit_tiny", "--input", golden + "/dit_tiny/io.safetensors"},
      "output", "dit_tiny/io.safetensors", "output");
}

BOOST_AUTO_TEST_CASE(step_llm_matches) {
  check_command({"encode-tokens", "--encoder", "step-llm", "--model", golden + "/step_llm_tiny", "--input",
                 golden + "/step_llm_tiny/io.safetensors"},
                "output", "step_llm_tiny/io.safetensors", "output");
}

BOOST_AUTO_TEST_CASE(clip_matches) {
  check_command({"encode-tokens", "--encoder", "clip", "--model", golden + "/clip_tiny", "--input",
                 golden + "/clip_tiny/io.safetensors"},
                "output", "clip_tiny/io.safetensors", "output");
}

BOOST_AUTO_TEST_CASE(denoise_matches) {
  const std::string pipeline = golden + "/pipeline_tiny.safetensors";
  check_command({"denoise", "--model", golden + "/dit_tiny", "--conditioning", pipeline, "--latents",
                 pipeline, "--steps", "4", "--cfg-scale", "9", "--time-shift", "13"},
                "latents", "pipeline_tiny.safetensors", "final");
}

BOOST_AUTO_TEST_CASE(decode_matches_for_one_chunk_two_chunks_and_an_image) {
  for (const std::string name : {"decode_1chunk", "decode_2chunks", "decode_image"})
    check_command({"decode", "--model", golden + "/vae_tiny", "--latents",
                   golden + "/vae_tiny/" + name + ".safetensors"},
                  "video", "vae_tiny/" + name + ".safetensors", "video");
}

BOOST_AUTO_TEST_CASE(less_memory_of_the_vae_gives_the_same_values) {
  const ScratchFolder scratch;
  const std::string vae = golden + "/vae_tiny", chunk = vae + "/decode_1chunk.safetensors";
  const auto values = [&](std::vector<std::string> arguments, const std::string& tensor) {
    const std::string output = (scratch / "out.safetensors").string();
    arguments.insert(arguments.end(),
                     {"--model", vae, "--device", "cpu", "--quiet", "--output", output, "--overwrite"});
    const auto result = testing::run_program(arguments);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    return io::Checkpoint::open(output).load<float>(tensor);
  };
  const std::vector<std::string> decode{"decode", "--latents", chunk}, encode{"encode", "--video", chunk};
  const auto check = [&](std::vector<std::string> command, const std::string& tensor) {
    const auto usual = values(command, tensor);
    command.insert(command.end(), {"--vae-memory", "5MB"});
    const auto less = values(command, tensor);
    BOOST_CHECK(std::equal(less.begin(), less.end(), usual.begin(), usual.end()));
  };
  check(decode, "video");
  check(encode, "mean");
}

BOOST_AUTO_TEST_CASE(encode_matches) {
  const std::string file = "vae_tiny/encode_1chunk.safetensors";
  for (const std::string tensor : {"mean", "logvar"})
    check_command({"encode", "--model", golden + "/vae_tiny", "--video", golden + "/" + file}, tensor, file,
                  tensor);
}

BOOST_AUTO_TEST_CASE(denoise_then_decode_gives_the_pipelines_video) {
  const ScratchFolder scratch;
  const std::string pipeline = golden + "/pipeline_tiny.safetensors";
  const std::string latents = (scratch / "latents.safetensors").string();
  const auto result = testing::run_program({"denoise", "--model", golden + "/dit_tiny", "--conditioning",
                                            pipeline, "--latents", pipeline, "--steps", "4", "--cfg-scale",
                                            "9", "--time-shift", "13", "--output", latents, "--quiet"});
  BOOST_REQUIRE_EQUAL(result.exit_code, 0);
  check_command({"decode", "--model", golden + "/vae_tiny", "--latents", latents}, "video",
                "pipeline_tiny.safetensors", "video");
}
