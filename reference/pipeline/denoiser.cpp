#include "pipeline/denoiser.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/kernels/sampler/flow_schedule.hpp>
#include <stepvideo/kernels/sampler/guided_step.hpp>

#include "io/model_folder.hpp"
#include "model/transformer.hpp"
#include "pipeline/memory.hpp"

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
  using Text = typename model::Transformer<T, Host>::Text;

  /// The prompts that go through the transformer: without guidance the negative prompt has no say.
  static index_t prompts(const SamplerSettings& settings) {
    return settings.cfg_scale == 1 ? 1 : guided_batch;
  }

  /// The prompts' texts, `at_a_time` of them together.
  std::vector<Text> prepare(const Integration& run, index_t at_a_time, std::size_t spare_bytes) {
    const Conditioning& conditioning = run.conditioning;
    const index_t groups = prompts(run.settings) / at_a_time;
    std::vector<Text> texts;
    for (index_t group = 0; group < groups; ++group)
      texts.push_back(transformer_.prepare_text(
          model::elements_of(conditioning.llm(), group * at_a_time, at_a_time),
          model::elements_of(conditioning.clip(), group * at_a_time, at_a_time),
          std::span(conditioning.key_lengths)
              .subspan(static_cast<std::size_t>(group * at_a_time), static_cast<std::size_t>(at_a_time)),
          spare_bytes / static_cast<std::size_t>(groups)));
    return texts;
  }

  void integrate(const Integration& run, Stage& stage, const StepObserver& observer) {
    const SamplerSettings& settings = run.settings;
    Latents& latents = run.latents;
    const index_t size = latents.size(), batch = prompts(settings);
    const model::TransformerConfig& config = transformer_.config();
    const std::size_t spare_bytes = run.spare_bytes.value_or(available_memory_bytes());
    const auto share = model::TransformerShare::whole(config, batch, latents.shape.tokens());
    const index_t at_a_time = model::elements_at_a_time(config, share, sizeof(T), spare_bytes);
    const std::size_t written_bytes =
        model::TransformerLayout(config, model::TransformerShare::whole(config, at_a_time, share.tokens),
                                 sizeof(T))
            .bytes();
    auto texts = prepare(run, at_a_time, spare_bytes - std::min(spare_bytes, written_bytes));

    const FlowSchedule schedule(settings.steps, static_cast<float>(settings.time_shift));
    const Buffer<float> inputs(at_a_time * size), velocities(batch * size), times(at_a_time);
    const auto view = [&](float* values, index_t elements) {
      return LatentsView<float>{values, elements, latents.channels, latents.shape};
    };
    for (int step = run.steps_done; step < settings.steps; ++step) {
      for (index_t element = 0; element < at_a_time; ++element)
        std::ranges::copy(latents.values, inputs.begin() + element * size);
      std::ranges::fill(times, schedule.time(step));
      for (std::size_t group = 0; group < texts.size(); ++group)
        transformer_.forward(
            view(inputs.data(), at_a_time), times.vector(), texts[group],
            view(velocities.data() + static_cast<index_t>(group) * at_a_time * size, at_a_time));
      GuidedVelocities guided{.prompt = {velocities.data(), size}, .negative = {}};
      if (batch > 1) guided.negative = {velocities.data() + size, size};
      guided_step(host, guided, static_cast<float>(settings.cfg_scale), schedule.step_size(step),
                  latents.values.vector());
      require_finite(latents, step + 1, settings);
      if (observer)
        observer({step + 1, settings.steps, schedule.sigma(step + 1), static_cast<float>(settings.cfg_scale),
                  latents, view(velocities.data(), batch)},
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
