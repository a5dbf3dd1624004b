// --weights random:SEED: real shapes without files.
#define BOOST_TEST_MODULE random_weights
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "io/checkpoint.hpp"
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

}  // namespace

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
