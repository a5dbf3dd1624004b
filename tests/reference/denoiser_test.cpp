// Steps of guidance: how the pair goes through the transformer, and what no guidance leaves out.
#define BOOST_TEST_MODULE denoiser
#include "pipeline/denoiser.hpp"

#include <cstring>
#include <tuple>

#include <boost/test/unit_test.hpp>

#include "support/compare.hpp"

using namespace stepvideo;
using namespace stepvideo::pipeline;

namespace {

const std::filesystem::path golden = STEPVIDEO_TEST_DATA "/golden";

Latents golden_latents(const char* name = "latents") {
  const auto file = io::Checkpoint::open(golden / "pipeline_tiny.safetensors");
  const io::Shape shape = file.at(name).shape;
  const auto extent = [&](std::size_t from_behind) {
    return static_cast<int>(shape[shape.size() - from_behind]);
  };
  return {{extent(4), extent(2), extent(1)}, extent(3), file.load<float>(name)};
}

/// The latents after four steps; `see` is told each.
Latents denoise(Precision precision, double scale, Conditioning conditioning,
                std::optional<std::size_t> spare_bytes = {}, const StepObserver& see = {}) {
  Latents latents = golden_latents();
  const SamplerSettings settings{.steps = 4, .cfg_scale = scale, .time_shift = 13};
  Progress progress({.is_quiet = true});
  Denoiser({golden / "dit_tiny"})
      .load({}, {precision}, progress)
      ->denoise({conditioning, settings, latents, 0, spare_bytes}, progress, see);
  return latents;
}

Conditioning golden_conditioning() {
  return read_conditioning(golden / "pipeline_tiny.safetensors");
}

bool same_bits(const Latents& a, const Latents& b) {
  return a.size() == b.size() && std::memcmp(a.values.data(), b.values.data(), a.values.size_bytes()) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_pair_in_turn_gives_the_bits_of_a_pair_together) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const Latents together = denoise(precision, 9, golden_conditioning()),
                  in_turn = denoise(precision, 9, golden_conditioning(), 0);
    STEPVIDEO_CHECK_CLOSE(together.values, golden_latents("final").values,
                          precision == Precision::fp32 ? testing::fp32_bound : testing::bf16_bound);
    BOOST_CHECK(same_bits(together, in_turn));
  }
}

BOOST_AUTO_TEST_CASE(without_guidance_the_negative_prompt_is_not_run) {
  int steps = 0;
  const auto see = [&](const StepState& state, Stage&) {
    BOOST_CHECK_EQUAL(state.velocities.batch, 1);
    ++steps;
  };
  const Latents alone = denoise(Precision::fp32, 1, golden_conditioning(), {}, see);
  BOOST_CHECK_EQUAL(steps, 4);
  // With the prompt as its own negative prompt any scale is the same flow.
  Conditioning doubled = golden_conditioning();
  const auto repeat = [](const Buffer<float>& values) {
    std::copy_n(values.data(), values.size() / 2, values.data() + values.size() / 2);
  };
  repeat(doubled.llm_states), repeat(doubled.clip_states), doubled.key_lengths[1] = doubled.key_lengths[0];
  const Latents guided = denoise(Precision::fp32, 2, std::move(doubled));
  STEPVIDEO_CHECK_CLOSE(alone.values, guided.values, 1e-6);
}
