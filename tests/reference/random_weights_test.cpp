// --weights random:SEED: real shapes without files.
#define BOOST_TEST_MODULE random_weights
#include <algorithm>
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "io/checkpoint.hpp"
#include "io/safetensors.hpp"
#include "model/noise_source.hpp"
#include "support/program.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::filesystem::path golden = STEPVIDEO_TEST_DATA "/golden/dit_tiny";

std::vector<float> velocity(const std::string& weights, const std::string& precision) {
  const ScratchFolder folder;
  const auto output = folder / "out.safetensors";
  const auto result = testing::run_program(
      {"transformer", "--model", golden.string(), "--input", (golden / "io.safetensors").string(), "--output",
       output.string(), "--weights", weights, "--device", "cpu", "--precision", precision});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  const auto values = io::Checkpoint::open(output).load<float>("output");
  return {values.begin(), values.end()};
}

Buffer<float> video(const std::filesystem::path& file) {
  return io::Checkpoint::open(file).load<float>("video");
}

testing::ProgramResult generate(const std::filesystem::path& output, const std::vector<std::string>& more) {
  return testing::run_program(
      testing::with({"generate", "--device", "cpu", "--reproducible", "--output", output.string()}, more));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_whole_run_needs_no_weights) {
  const ScratchFolder folder;
  const auto output = folder / "noise.safetensors", again = folder / "again.safetensors";
  const std::vector<std::string> flags{"--model",       STEPVIDEO_DEMO_MODEL,
                                       "--prompt",      "words",
                                       "--weights",     "random:3",
                                       "--frames",      "17",
                                       "--height",      "64",
                                       "--width",       "64",
                                       "--steps",       "2",
                                       "--keep-latents"};
  const auto made = generate(output, flags);
  BOOST_REQUIRE_MESSAGE(made.exit_code == 0, made.errors);
  const auto frames = video(output);
  double squares = 0;
  for (const float value : frames) squares += double(value) * value;
  BOOST_CHECK_GT(squares / double(frames.size()), 1e-4);
  BOOST_CHECK(io::SafetensorsFile::open(output).metadata().at("manifest").find("random:3") !=
              std::string::npos);

  // Repeated by its manifest, and with another seed another video.
  const auto like = generate(again, {"--model", STEPVIDEO_DEMO_MODEL, "--weights", "random:3", "--like",
                                     output.string(), "--keep-latents"});
  BOOST_REQUIRE_MESSAGE(like.exit_code == 0, like.errors);
  BOOST_CHECK(std::ranges::equal(frames, video(again)));
  const auto other = generate(again, {"--model", STEPVIDEO_DEMO_MODEL, "--weights", "random:4", "--like",
                                      output.string(), "--overwrite"});
  BOOST_REQUIRE_MESSAGE(other.exit_code == 0, other.errors);
  BOOST_CHECK(other.errors.find("the weights of") != std::string::npos);
  BOOST_CHECK(!std::ranges::equal(frames, video(again)));

  // What decode makes of its latents is the same video.
  const auto decoded = folder / "decoded.safetensors";
  const auto result = testing::run_program(
      {"decode", "--model", STEPVIDEO_DEMO_MODEL, "--weights", "random:3", "--device", "cpu", "--latents",
       output.string() + ".latents.safetensors", "--output", decoded.string()});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK(std::ranges::equal(frames, video(decoded)));
}

BOOST_AUTO_TEST_CASE(the_release_without_a_folder_is_refused_where_the_memory_cannot_hold_it) {
  const ScratchFolder folder;
  const auto result =
      testing::run_program({"generate", "--device", "cpu", "--output", (folder / "x.safetensors").string(),
                            "--prompt", "words", "--weights", "random:1"},
                           "ulimit -v 8000000;");
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_MESSAGE(result.errors.find("GiB") != std::string::npos, result.errors);
  const auto states =
      testing::run_program({"encode-text", "--device", "cpu", "--prompt", "words", "--weights", "random:1",
                            "--output", (folder / "x.safetensors").string()},
                           "ulimit -v 8000000;");
  BOOST_CHECK_EQUAL(states.exit_code, 2);
  BOOST_CHECK_MESSAGE(states.errors.find("Step-LLM take") != std::string::npos, states.errors);
  const auto neither = generate(folder / "x.safetensors", {"--prompt", "words"});
  BOOST_CHECK_EQUAL(neither.exit_code, 2);
  BOOST_CHECK_MESSAGE(neither.errors.find("--model is missing") != std::string::npos, neither.errors);
}

BOOST_AUTO_TEST_CASE(one_seed_is_one_model_and_another_seed_another) {
  const auto first = velocity("random:1", "fp32");
  BOOST_CHECK(first == velocity("random:1", "fp32"));
  BOOST_CHECK(first != velocity("random:2", "fp32"));
  double squares = 0;
  for (const float value : first) squares += double(value) * value;
  const double size = std::sqrt(squares / double(first.size()));
  BOOST_CHECK_GT(size, 0.05);  // the network neither dies out nor explodes
  BOOST_CHECK_LT(size, 50);
}

BOOST_AUTO_TEST_CASE(tensors_draw_from_one_sequence_each_with_its_scale) {
  const std::vector<io::ExpectedTensor> expected{
      {"a.weight", {3, 400}}, {"a.bias", {5000}}, {"norm.weight", {5000}}, {"patch.weight", {40, 25, 1, 4}}};
  model::NoiseSource<Host> source(host, expected, 9);
  const Buffer<float> all(1200 + 5000 + 5000 + 4000);
  fill_unit_normal(host, 9, 0, all.vector());
  const auto check = [&](const std::string& name, index_t first, index_t count, float scale) {
    const Buffer<float> values(count);
    source.read(name, values.vector());
    for (index_t i = 0; i < count; ++i) BOOST_REQUIRE_EQUAL(values[i], scale * all[first + i]);
    const Buffer<bf16> rounded(count);
    source.read(name, rounded.vector());
    for (index_t i = 0; i < count; ++i) BOOST_REQUIRE_EQUAL(rounded[i].bits, bf16(values[i]).bits);
  };
  check("a.weight", 0, 1200, 1 / std::sqrt(400.0f));
  check("a.bias", 1200, 5000, 0.02f);
  check("norm.weight", 6200, 5000, 1);
  check("patch.weight", 11200, 4000, 1 / std::sqrt(100.0f));
}
