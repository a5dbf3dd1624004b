// Steps of guidance: how the pair goes through the transformer, and what no guidance leaves out.
#define BOOST_TEST_MODULE denoiser
#include "pipeline/denoiser.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/sampler/flow_schedule.hpp>

#include "model/transformer.hpp"
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

BOOST_AUTO_TEST_CASE(the_releases_numerics_begin_from_noise_of_bf16) {
  const auto exact = noise_latents(7, {3, 4, 6}, 4),
             rounded = noise_latents(7, {3, 4, 6}, 4, {Precision::bf16, false, true});
  index_t changed = 0;
  for (index_t i = 0; i < exact.size(); ++i) {
    BOOST_CHECK_EQUAL(rounded.values[i], float(bf16(exact.values[i])));
    changed += rounded.values[i] != exact.values[i];
  }
  BOOST_CHECK_GT(changed, exact.size() / 2);
}

BOOST_AUTO_TEST_CASE(the_releases_numerics_round_time_and_angles_to_bf16) {
  const Conditioning text = golden_conditioning();
  const SamplerSettings settings{.steps = 4, .cfg_scale = 9, .time_shift = 13};
  const float time = FlowSchedule(settings.steps, 13.0f).time(1);
  BOOST_REQUIRE_NE(time, float(bf16(time)));
  Progress progress({.is_quiet = true});
  Latents latents = golden_latents();
  const index_t size = latents.size();
  Buffer<float> pair(2 * size), seen(2 * size);  // what the second step begins from, and its velocities
  Denoiser({golden / "dit_tiny"})
      .load({}, {Precision::bf16, false, true}, progress)
      ->denoise({text, settings, latents}, progress, [&](const StepState& state, Stage&) {
        if (state.step == 1)
          for (index_t i = 0; i < 2 * size; ++i) pair[i] = state.latents.values[i % size];
        if (state.step == 2) std::copy_n(state.velocities.data, 2 * size, seen.data());
      });

  const auto velocities = [&](RopeAngles angles, float at) {
    model::Transformer<bf16, Host> transformer(
        host, model::read_transformer_config(golden / "dit_tiny/config.json"),
        io::Checkpoint::open(golden / "dit_tiny/diffusion_pytorch_model.safetensors"), {.angles = angles});
    auto prompts = transformer.prepare_text(text.llm(), text.clip(), text.key_lengths);
    const Buffer<float> times(2);
    std::ranges::fill(times, at);
    Buffer<float> result(2 * size);
    transformer.forward({pair.data(), 2, latents.channels, latents.shape}, times.vector(), prompts,
                        {result.data(), 2, latents.channels, latents.shape});
    return result;
  };
  const float rounded = float(bf16(time));
  BOOST_CHECK(std::ranges::equal(velocities(RopeAngles::rounded_to_element, rounded), seen));
  BOOST_CHECK(!std::ranges::equal(velocities(RopeAngles::rounded_to_element, time), seen));
  BOOST_CHECK(!std::ranges::equal(velocities(RopeAngles::exact, rounded), seen));
}
