// Requests that cannot work: one sentence that names what is wrong and what would work, exit code 2, and
// nothing written.
#define BOOST_TEST_MODULE command_line_refusals
#include <filesystem>
#include <limits>
#include <span>

#include <nlohmann/json.hpp>

#include "io/checkpoint.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;
namespace fs = std::filesystem;

namespace {

const fs::path golden = STEPVIDEO_TEST_DATA "/golden";
const std::string demo = STEPVIDEO_DEMO_MODEL;

/// Runs in a folder of its own and checks exit code, sentence and that no output appeared.
void check_refusal(std::vector<std::string> arguments, const std::vector<std::string>& phrases,
                   int exit_code = 2, const std::string& output = "out.safetensors") {
  const ScratchFolder scratch;
  arguments.insert(arguments.end(), {"--output", (scratch / output).string()});
  const auto result = testing::run_program(arguments);
  BOOST_CHECK_EQUAL(result.exit_code, exit_code);
  BOOST_CHECK_EQUAL(scratch.names().size(), 0u);
  // The refusal is the last line; nothing but progress may stand before it.
  BOOST_REQUIRE_MESSAGE(result.errors.ends_with('\n'), "no sentence: '" << result.errors << "'");
  const std::string text = result.errors.substr(0, result.errors.size() - 1);
  const std::string sentence = text.substr(text.rfind('\n') + 1);
  BOOST_CHECK_MESSAGE(sentence.starts_with("stepvideo: "), sentence);
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(sentence.find(phrase) != sentence.npos, "'" << sentence << "' lacks: " << phrase);
}

std::vector<std::string> generate(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"generate", "--model", demo, "--prompt", "a red circle moves up"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> denoise(const fs::path& model, std::vector<std::string> more = {}) {
  const std::string pipeline = (golden / "pipeline_tiny.safetensors").string();
  std::vector<std::string> arguments = {"denoise",        "--model", model.string(),
                                        "--conditioning", pipeline,  "--latents",
                                        pipeline,         "--steps", "2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// A copy of a tensor file in which `change` has edited the list of tensors.
void rewrite(const fs::path& from, const fs::path& to, auto change) {
  const auto file = io::SafetensorsFile::open(from);
  std::vector<io::NamedTensor> tensors;
  for (const auto& [name, record] : file.tensors())
    tensors.push_back({name, record.dtype, record.shape, record.bytes});
  change(tensors);
  io::write_safetensors(to, tensors);
}

io::NamedTensor& named(std::vector<io::NamedTensor>& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &io::NamedTensor::name);
}

/// dit_tiny, copied to where it can be broken.
struct BrokenTransformer {
  ScratchFolder folder;
  fs::path config = folder / "config.json";
  fs::path weights = folder / "diffusion_pytorch_model.safetensors";

  BrokenTransformer() {
    for (const auto& path : {config, weights}) fs::copy(golden / "dit_tiny" / path.filename(), path);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(an_unknown_flag_names_the_nearest) {
  check_refusal(generate({"--stesp", "3"}), {"unknown flag --stesp", "did you mean --steps?"});
  check_refusal(generate({"--qzx", "3"}), {"unknown flag --qzx", "generate --help all"});
  check_refusal(generate({"--step", "3"}), {"unknown flag --step", "--steps"});  // no abbreviations
}

BOOST_AUTO_TEST_CASE(an_unknown_command_names_the_nearest) {
  const auto result = testing::run_program({"genrate"});
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_EQUAL(result.errors, "stepvideo: unknown command genrate; did you mean generate?\n");
}

BOOST_AUTO_TEST_CASE(a_value_that_cannot_be_read_names_its_flag) {
  check_refusal(generate({"--steps", "many"}), {"--steps"});
  check_refusal(generate({"--steps", "3.5"}), {"--steps"});
  check_refusal(generate({"--seed", "-1"}), {"--seed"});
  check_refusal(generate({"--steps"}), {"--steps"});
  check_refusal(generate({"--steps", "3", "--steps", "4"}), {"--steps", "more than once"});
  check_refusal(generate({"stray"}), {"without its flag"});
  check_refusal(generate({"--"}), {"'--'"});
  check_refusal({"generate", "--model", demo, "--prompt", "\xff"}, {"--prompt", "UTF-8"});
  check_refusal({"generate", "--prompt", "x"}, {"--model is missing"});
  check_refusal(generate({"--cfg-scale", "nan"}), {"--cfg-scale"});
}

BOOST_AUTO_TEST_CASE(steps_of_zero_are_refused) {
  check_refusal(generate({"--steps", "0"}), {"steps is 0", "1 or more"});
  check_refusal(generate({"--time-shift", "0"}), {"time shift"});
}

BOOST_AUTO_TEST_CASE(sizes_off_the_grid_name_the_nearest) {
  check_refusal(generate({"--frames", "20"}),
                {"20 frames", "nearest valid size is 17 frames of 96x96", "--fit"});
  check_refusal(generate({"--height", "100"}), {"96x100", "17 frames of 96x96", "--fit"});
  check_refusal(generate({"--width", "0"}), {"0x96", "16x96"});
  check_refusal(generate({"--frames", "-17"}), {"-17 frames", "1 frame of"});
}

BOOST_AUTO_TEST_CASE(an_output_that_cannot_be_written_is_found_before_the_work) {
  check_refusal(generate({}), {"--output", "no-such-folder"}, 2, "no-such-folder/out.mp4");
  check_refusal(generate({}), {"--output", ".avi", ".mp4"}, 2, "out.avi");
  check_refusal(denoise(golden / "dit_tiny"), {"--output", ".mp4", ".safetensors"}, 2, "out.mp4");
}

BOOST_AUTO_TEST_CASE(a_model_that_is_not_there_is_named) {
  check_refusal({"generate", "--model", "/no/such/model", "--prompt", "x"}, {"--model", "/no/such/model"});
  check_refusal({"generate", "--model", (golden / "dit_tiny").string(), "--prompt", "x"},
                {"--model", "step_llm"});
}

BOOST_AUTO_TEST_CASE(a_device_or_precision_that_is_not_built_says_what_is) {
  check_refusal(generate({"--device", "tpu"}), {"--device", "cpu"});
  check_refusal(generate({"--device", "cuda:9999"}), {"--device cuda:9999", "cpu works"});
  check_refusal(generate({"--device", "cuda:x"}), {"--device: 'cuda:x'", "cuda:1"});
  check_refusal({"decode", "--model", demo, "--device", "cuda:9999", "--latents", "x"},
                {"--device cuda:9999", "cpu works"});
  check_refusal({"encode", "--model", demo, "--device", "cuda:9999", "--video", "x"},
                {"--device cuda:9999", "cpu works"});
  check_refusal(generate({"--precision", "half"}), {"--precision", "fp32, bf16 and fp8"});
}

BOOST_AUTO_TEST_CASE(fp8_is_refused_where_nothing_has_it) {
  check_refusal({"decode", "--model", demo, "--device", "cpu", "--latents", "x", "--precision", "fp8"},
                {"--precision fp8 is for the transformer, which decode does not run"});
  check_refusal(generate({"--device", "cpu", "--attention", "half"}), {"--attention: 'half'", "fp32"});
  check_refusal(generate({"--device", "cpu", "--precision", "bf16", "--attention", "fp32"}),
                {"--attention: 'fp32' does not go with --precision bf16", "bf16 or fp8"});
  check_refusal(generate({"--device", "cpu", "--precision", "fp32", "--attention", "fp8"}),
                {"--attention fp8 does not go with --precision fp32", "bf16 and fp8 work"});
  check_refusal(generate({"--device", "cpu", "--precision", "bf16", "--attention", "fp8", "--gpus", "2"}),
                {"--attention fp8 runs on one rank and the run has 2"});
  check_refusal(generate({"--device", "cpu", "--precision", "fp8", "--gpus", "2", "--topology",
                          "tensor=2,sharding=uneven"}),
                {"--precision fp8 does not run with tensor=2"});
}

BOOST_AUTO_TEST_CASE(a_budget_of_a_gpu_is_for_a_gpu) {
  check_refusal(generate({"--device", "cpu", "--gpu-memory", "12GiB"}), {"--gpu-memory is for a GPU"});
  check_refusal(generate({"--device", "cpu", "--gpu-memory", "much"}),
                {"--gpu-memory: 'much' is not a size"});
}

BOOST_AUTO_TEST_CASE(a_memory_of_the_vae_that_does_not_work_says_what_does) {
  const std::string latents = (golden / "vae_tiny" / "decode_1chunk.safetensors").string();
  const std::string vae = (golden / "vae_tiny").string();
  for (const std::string size : {"much", "0GB", "-1GB", "6 gigs", "6G", "1e30GB"})
    check_refusal({"decode", "--model", vae, "--device", "cpu", "--latents", latents, "--vae-memory", size},
                  {"--vae-memory: '" + size + "' is not a size", "6GB"});
  check_refusal({"decode", "--model", vae, "--device", "cpu", "--latents", latents, "--vae-memory", "1MB"},
                {"--vae-memory: the VAE's decoder may take 1 MB", "--vae-memory 5MB works"});
  check_refusal(generate({"--device", "cpu", "--vae-memory", "1kB"}), {"--vae-memory", "MB works"}, 2,
                "out.mp4");
}

BOOST_AUTO_TEST_CASE(presets_and_random_weights_are_read_in_full) {
  check_refusal(generate({"--preset", "fast"}), {"--preset: 'fast'", "turbo"});
  for (const std::string weights :
       {"noise", "random", "random:", "random:-1", "random:1x", "random:99999999999999999999"})
    check_refusal(denoise(golden / "dit_tiny", {"--weights", weights}),
                  {"--weights: '" + weights + "'", "random:SEED"});
  check_refusal({"denoise", "--conditioning", "x"}, {"--model is missing"});
}

BOOST_AUTO_TEST_CASE(a_topology_is_checked_by_the_shape_rules) {
  check_refusal(generate({"--gpus", "0"}), {"--gpus is 0"});
  check_refusal(generate({"--gpus", "3", "--topology", "guidance=2"}),
                {"--topology: ", "makes 2 ranks and there are 3"});
  check_refusal(generate({"--gpus", "2", "--topology", "guidance=2"}),
                {"--device auto", "--device cpu works"});
  check_refusal(generate({"--gpus", "3", "--topology", "sharding=uneven,ulysses=5"}),
                {"guidance=1,tensor=1,ulysses=5,ring=1,sharding=uneven makes 5 ranks and there are 3"});
  for (const std::string topology :
       {"rings=2", "", "ring=1,", "ring=1,ring=1", "tensor=641,ulysses=6700417", "sharding=odd", "sharding",
        "sharding=uneven,sharding=uneven", "sharding=even,sharding=uneven"})
    check_refusal(generate({"--topology", topology}), {"--topology"});
}

BOOST_AUTO_TEST_CASE(truncated_weights_are_named_with_what_is_missing) {
  const BrokenTransformer model;
  fs::resize_file(model.weights, 100'000);
  check_refusal(denoise(model.folder.path()), {"diffusion_pytorch_model.safetensors", "100000"});
}

BOOST_AUTO_TEST_CASE(a_missing_shard_is_named) {
  const BrokenTransformer model;
  nlohmann::json index;
  const auto file = io::SafetensorsFile::open(model.weights);
  for (const auto& [name, record] : file.tensors())
    index["weight_map"][name] = "diffusion_pytorch_model-00001-of-00002.safetensors";
  index["weight_map"]["proj_out.bias"] = "diffusion_pytorch_model-00002-of-00002.safetensors";
  fs::rename(model.weights, model.folder / "diffusion_pytorch_model-00001-of-00002.safetensors");
  model.folder.write("diffusion_pytorch_model.safetensors.index.json", index.dump());
  check_refusal(denoise(model.folder.path()), {"diffusion_pytorch_model-00002-of-00002.safetensors"});
}

BOOST_AUTO_TEST_CASE(every_missing_and_misshapen_tensor_is_listed_at_once) {
  const BrokenTransformer model;
  rewrite(golden / "dit_tiny/diffusion_pytorch_model.safetensors", model.weights, [](auto& tensors) {
    std::erase_if(tensors, [](const auto& tensor) { return tensor.name == "proj_out.bias"; });
    named(tensors, "proj_out.weight").shape = {8, 128};
    named(tensors, "pos_embed.proj.bias").dtype = io::Dtype::i16;
  });
  check_refusal(denoise(model.folder.path()),
                {"proj_out.bias", "proj_out.weight", "[8, 128]", "[4, 256]", "pos_embed.proj.bias", "I16"});
}

BOOST_AUTO_TEST_CASE(a_config_that_disagrees_with_the_tensors_is_refused) {
  const BrokenTransformer model;
  auto config = nlohmann::json::parse(testing::read_text(model.config));
  config["num_layers"] = 3;
  model.folder.write("config.json", config.dump());
  check_refusal(denoise(model.folder.path()), {"transformer_blocks.2."});
  config.erase("num_layers");
  model.folder.write("config.json", config.dump());
  check_refusal(denoise(model.folder.path()), {"config.json", "num_layers"});
  model.folder.write("config.json", "{not json");
  check_refusal(denoise(model.folder.path()), {"config.json"});
}

BOOST_AUTO_TEST_CASE(a_scheduler_of_another_kind_is_refused) {
  const BrokenTransformer model;
  model.folder.write("scheduler/scheduler_config.json", R"({"reverse": true, "solver": "euler"})");
  check_refusal(denoise(model.folder.path()), {"scheduler_config.json", "reverse"});
  model.folder.write("scheduler/scheduler_config.json", R"({"solver": "heun"})");
  check_refusal(denoise(model.folder.path()), {"scheduler_config.json", "heun"});
}

BOOST_AUTO_TEST_CASE(nan_in_weights_names_the_tensor) {
  const BrokenTransformer model;
  std::vector<std::uint16_t> poisoned(4 * 256, 0x3F80);
  poisoned[7] = 0x7FC0;  // NaN in bf16
  rewrite(golden / "dit_tiny/diffusion_pytorch_model.safetensors", model.weights, [&](auto& tensors) {
    named(tensors, "proj_out.weight").bytes = std::as_bytes(std::span(poisoned));
  });
  check_refusal(denoise(model.folder.path()), {"proj_out.weight", "NaN"});
}

BOOST_AUTO_TEST_CASE(nan_in_latents_names_the_tensor) {
  const ScratchFolder folder;
  const std::vector<float> poisoned(72, std::numeric_limits<float>::quiet_NaN());
  io::write_safetensors(folder / "latents.safetensors",
                        {{"latents", io::Dtype::f32, {1, 3, 4, 2, 3}, std::as_bytes(std::span(poisoned))}});
  const std::string latents = (folder / "latents.safetensors").string();
  check_refusal({"decode", "--model", (golden / "vae_tiny").string(), "--latents", latents},
                {"latents", "NaN"});
}

BOOST_AUTO_TEST_CASE(latents_that_overflow_while_denoising_name_the_step) {
  // Finite inputs whose first projection overflows.
  const ScratchFolder folder;
  const std::vector<float> huge(72, 3e38f);
  io::write_safetensors(folder / "latents.safetensors",
                        {{"latents", io::Dtype::f32, {1, 3, 4, 2, 3}, std::as_bytes(std::span(huge))}});
  check_refusal({"denoise", "--model", (golden / "dit_tiny").string(), "--conditioning",
                 (golden / "pipeline_tiny.safetensors").string(), "--latents",
                 (folder / "latents.safetensors").string(), "--steps", "2"},
                {"after step 1 of 2", "latents"}, 1);
}

BOOST_AUTO_TEST_CASE(sizes_beyond_this_machine_are_refused_before_the_work) {
  check_refusal(generate({"--frames", "1048560", "--height", "1048576", "--width", "1048576"}),
                {"GiB", "--frames"});
  check_refusal(generate({"--frames", "2147483647"}), {"--fit", "nearest valid size"});
  check_refusal(generate({"--frames", "1", "--height", "16", "--width", "32768"}), {"--output", "16384"}, 2,
                "out.mp4");
}

BOOST_AUTO_TEST_CASE(a_run_with_nothing_to_go_on_with_says_where_it_looked) {
  const ScratchFolder folder;
  const std::string output = (folder / "a.mp4").string();
  testing::check_says(testing::run_program({"generate", "--resume", "--output", output}), 2,
                      {"--resume: neither " + output + ".steps.safetensors nor " + output + " is there"});
}

BOOST_AUTO_TEST_CASE(fp8_encodes_nowhere_whatever_the_place) {
  check_refusal({"encode", "--model", demo, "--device", "cpu", "--video", "x", "--vae-precision", "fp8"},
                {"--vae-precision fp8 is for decoding"});
}

BOOST_AUTO_TEST_CASE(a_file_that_no_addresses_are_left_for_is_not_called_damaged) {
  const ScratchFolder folder;
  const fs::path large = folder.write("large.safetensors", "x");
  fs::resize_file(large, std::uintmax_t{8} << 30);  // of which the disk holds a byte
  const auto result = testing::run_program({"inspect", large.string()}, "ulimit -v 2000000;");
  testing::check_says(result, 2, {"large.safetensors cannot be mapped", "8.00 GiB", "ulimit -v"});
  BOOST_CHECK(result.errors.find("looked for") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(settings_beyond_float32_are_named) {
  check_refusal(generate({"--cfg-scale", "1e39"}), {"--cfg-scale"});
  check_refusal(generate({"--time-shift", "1e300"}), {"time shift"});
}

BOOST_AUTO_TEST_CASE(a_log_never_replaces_anything_but_a_log) {
  const ScratchFolder folder;
  const auto precious = folder.write("weights.safetensors", std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  check_refusal(denoise(golden / "dit_tiny", {"--log-file", precious.string()}),
                {"--log-file", "weights.safetensors"});
  BOOST_CHECK_EQUAL(testing::read_text(precious).size(), 16u);
}

BOOST_AUTO_TEST_CASE(inputs_with_empty_extents_are_refused) {
  const ScratchFolder folder;
  rewrite(golden / "dit_tiny/io.safetensors", folder / "in.safetensors", [](auto& tensors) {
    named(tensors, "hidden_states").shape = {1, 1, 0, 1, 1};
    named(tensors, "hidden_states").bytes = {};
  });
  check_refusal({"transformer", "--model", (golden / "dit_tiny").string(), "--input",
                 (folder / "in.safetensors").string()},
                {"hidden_states", "[1, 1, 0, 1, 1]"});
}

BOOST_AUTO_TEST_CASE(a_config_beyond_every_model_is_refused) {
  const BrokenTransformer model;
  auto config = nlohmann::json::parse(testing::read_text(model.config));
  config["num_layers"] = 2147483647;
  model.folder.write("config.json", config.dump());
  check_refusal(denoise(model.folder.path()), {"num_layers", "2147483647"});
}

BOOST_AUTO_TEST_CASE(latents_of_the_wrong_shape_are_named) {
  const ScratchFolder folder;
  const std::vector<float> values(2 * 4 * 2 * 3, 0.5f);
  io::write_safetensors(folder / "latents.safetensors",
                        {{"latents", io::Dtype::f32, {1, 2, 4, 2, 3}, std::as_bytes(std::span(values))}});
  const std::string latents = (folder / "latents.safetensors").string();
  check_refusal({"decode", "--model", (golden / "vae_tiny").string(), "--latents", latents},
                {"latents", "2", "3"});
  check_refusal(
      {"decode", "--model", (golden / "vae_tiny").string(), "--latents", "/no/such/file.safetensors"},
      {"/no/such/file.safetensors"});
}

BOOST_AUTO_TEST_CASE(help_is_not_an_error) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"generate", "--help"},
                                                    {"decode", "--help"},
                                                    {"bench", "--help"}}) {
    const auto result = testing::run_program(arguments);
    BOOST_CHECK_EQUAL(result.exit_code, 0);
    BOOST_CHECK_NE(result.output, "");
    BOOST_CHECK_EQUAL(result.errors, "");
  }
}
