#include "pipeline/denoiser.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/kernels/sampler/flow_schedule.hpp>
#include <stepvideo/kernels/sampler/guided_step.hpp>

#include "io/model_folder.hpp"
#include "model/transformer.hpp"

namespace stepvideo::pipeline {
namespace {

using io::Component, io::find_component;

/// A guided batch is the prompt, then the negative prompt.
constexpr index_t guided_batch = 2;

void require_finite(const Latents& latents, int step, const SamplerSettings& settings) {
  const bool is_finite =
      std::ranges::all_of(latents.values, [](float value) { return std::isfinite(value); });
  if (is_finite) return;
  throw Error(fmt::format(
      "latents are NaN or infinite after step {} of {}; a --cfg-scale below {} or --precision fp32 may "
      "keep them finite",
      step, settings.steps, settings.cfg_scale));
}

template <Element T>
class LoadedTransformer final : public Denoiser::Loaded {
 public:
  explicit LoadedTransformer(model::Transformer<T, Host> transformer)
      : transformer_(std::move(transformer)) {}

  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override {
    Denoiser::require_guided_pair(run.conditioning);
    progress.stage("denoise", run.settings.steps, [&](Stage& stage) {
      stage.skip(run.steps_done);
      integrate(run, stage, observer);
    });
  }

 private:
  void integrate(const Integration& run, Stage& stage, const StepObserver& observer) {
    const auto& [conditioning, settings, latents, steps_done] = run;
    auto text =
        transformer_.prepare_text(conditioning.llm(), conditioning.clip(), conditioning.key_lengths);
    const FlowSchedule schedule(settings.steps, static_cast<float>(settings.time_shift));
    const index_t size = latents.size();
    const Buffer<float> inputs(guided_batch * size), velocities(guided_batch * size), times(guided_batch);
    const auto batch_of = [&](const auto& values) {
      return LatentsView<float>{values.data(), guided_batch, latents.channels, latents.shape};
    };
    for (int step = steps_done; step < settings.steps; ++step) {
      for (index_t element = 0; element < guided_batch; ++element)
        std::ranges::copy(latents.values, inputs.begin() + element * size);
      std::ranges::fill(times, schedule.time(step));
      transformer_.forward(batch_of(inputs), times.vector(), text, batch_of(velocities));
      guided_step(host, {.prompt = {velocities.data(), size}, .negative = {velocities.data() + size, size}},
                  static_cast<float>(settings.cfg_scale), schedule.step_size(step), latents.values.vector());
      require_finite(latents, step + 1, settings);
      if (observer)
        observer({step + 1, settings.steps, schedule.sigma(step + 1), static_cast<float>(settings.cfg_scale),
                  latents, batch_of(velocities)},
                 stage);
      stage.step();
    }
  }

  model::Transformer<T, Host> transformer_;
};

}  // namespace

Denoiser::Denoiser(const std::filesystem::path& model) {
  const auto folder = find_component(model, Component::transformer);
  config_ = model::read_transformer_config(folder / "config.json");
  weights_ = io::Checkpoint::open(folder);
  weights_.validate(model::expected_tensors(config_));
}

void Denoiser::require_fits(index_t llm_width, index_t clip_width, const SamplerSettings& settings,
                            int latent_channels) const {
  // The schedule knows what it needs of the settings.
  FlowSchedule(settings.steps, static_cast<float>(settings.time_shift));
  require(std::isfinite(static_cast<float>(settings.cfg_scale)), [&] {
    return fmt::format("--cfg-scale is {}; it must be finite in float32, below 3.4e38", settings.cfg_scale);
  });
  require(llm_width == config_.llm_width && clip_width == config_.clip_width, [&] {
    return fmt::format(
        "the text states have {} and {} channels and the transformer {} takes {} and {}; encoders and "
        "transformer "
        "must be of one checkpoint",
        llm_width, clip_width, weights_.path().string(), config_.llm_width, config_.clip_width);
  });
  require(latent_channels == config_.in_channels && latent_channels == config_.out_channels, [&] {
    return fmt::format(
        "the latents have {} channels and the transformer {} maps {} to {}; the three must agree",
        latent_channels, weights_.path().string(), config_.in_channels, config_.out_channels);
  });
}

void Denoiser::require_guided_pair(const Conditioning& conditioning) {
  require(conditioning.batch == guided_batch, [&] {
    return fmt::format("the conditioning holds {} prompts; guidance needs the prompt and the negative prompt",
                       conditioning.batch);
  });
}

std::unique_ptr<Denoiser::Loaded> Denoiser::load(Precision precision, Progress& progress) const {
  return with_element(precision, [&]<Element T>() -> std::unique_ptr<Loaded> {
    return progress.stage("load transformer", 0, [&](Stage& stage) -> std::unique_ptr<Loaded> {
      stage.moved(weights_.bytes());
      return std::make_unique<LoadedTransformer<T>>(model::Transformer<T, Host>(host, config_, weights_));
    });
  });
}

}  // namespace stepvideo::pipeline
