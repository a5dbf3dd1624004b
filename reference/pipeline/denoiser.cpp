#include "pipeline/denoiser.hpp"

#include <algorithm>
#include <cmath>

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
void integrate(model::Transformer<T, Host>& transformer, const Conditioning& conditioning,
               const SamplerSettings& settings, Latents& latents, Stage& stage) {
  const auto text =
      transformer.prepare_text(conditioning.llm(), conditioning.clip(), conditioning.key_lengths);
  const FlowSchedule schedule(settings.steps, static_cast<float>(settings.time_shift));
  const index_t size = latents.size();
  const Buffer<float> inputs(guided_batch * size), velocities(guided_batch * size), times(guided_batch);
  const auto batch_of = [&](const auto& values) {
    return LatentsView<float>{values.data(), guided_batch, latents.channels, latents.shape};
  };
  for (int step = 0; step < settings.steps; ++step) {
    for (index_t element = 0; element < guided_batch; ++element)
      std::ranges::copy(latents.values, inputs.begin() + element * size);
    std::ranges::fill(times, schedule.time(step));
    transformer.forward(batch_of(inputs), times.vector(), text, batch_of(velocities));
    guided_step(host, VectorView<const float>{velocities.data(), size},
                VectorView<const float>{velocities.data() + size, size},
                static_cast<float>(settings.cfg_scale), schedule.step_size(step), latents.values.vector());
    require_finite(latents, step + 1, settings);
    stage.step();
  }
}

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

double Denoiser::activation_bytes(LatentShape shape, Precision precision) const {
  const double tokens = static_cast<double>(shape.tokens()), width = config_.width();
  const double element = precision == Precision::bf16 ? sizeof(bf16) : sizeof(float);
  const double latents = 5.0 * sizeof(float) * config_.in_channels;  // latents, and a guided pair in and out
  const double stream = sizeof(float) * width, layer = (1 + config_.feed_forward_factor) * element * width;
  return tokens * (latents + guided_batch * (stream + layer));
}

void Denoiser::denoise(const Conditioning& conditioning, const SamplerSettings& settings, Precision precision,
                       Latents& latents, Progress& progress) const {
  require(conditioning.batch == guided_batch, [&] {
    return fmt::format("the conditioning holds {} prompts; guidance needs the prompt and the negative prompt",
                       conditioning.batch);
  });
  with_element(precision, [&]<Element T>() {
    auto transformer = progress.stage("load transformer", 0, [&](Stage& stage) {
      stage.moved(weights_.bytes());
      return model::Transformer<T, Host>(host, config_, weights_);
    });
    progress.stage("denoise", settings.steps,
                   [&](Stage& stage) { integrate(transformer, conditioning, settings, latents, stage); });
  });
}

}  // namespace stepvideo::pipeline
