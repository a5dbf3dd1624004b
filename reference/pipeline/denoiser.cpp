#include "pipeline/denoiser.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/kernels/sampler/flow_schedule.hpp>

#include "pipeline/on_gpu.hpp"
#include "pipeline/placed_transformer.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/ranks_on_threads.hpp"
#include "pipeline/watched_transformer.hpp"

namespace stepvideo::pipeline {
namespace {

/// A guided batch is the prompt, then the negative prompt.
constexpr index_t guided_batch = 2;

/// What is said, before the first step, of blocks that come more slowly than they are computed; empty where
/// they do not. By the first that came.
std::string late_blocks_text(const model::StreamedFacts& streamed, const Deadlines& run) {
  const double block_seconds = run.step_seconds / std::max(1, run.layers);
  if (streamed.layers == 0 || streamed.seconds <= block_seconds) return {};
  const auto bytes = static_cast<double>(streamed.bytes);
  return fmt::format(
      " gives blocks at {:.2f} GB/s, and {:.2f} would hide them: a step that computes for {:.1f} s takes "
      "about {:.0f}",
      1e-9 * bytes / streamed.seconds, 1e-9 * bytes / block_seconds, run.step_seconds,
      run.layers * streamed.seconds);
}

}  // namespace

Denoiser::Denoiser(const ModelSource& model)
    : config_(model.config(io::Component::transformer, model::read_transformer_config)),
      weights_(Weights::open(model, io::Component::transformer, model::expected_tensors(config_))) {}

void Denoiser::require_fits(index_t llm_width, index_t clip_width, const SamplerSettings& settings,
                            int latent_channels) const {
  // The schedule knows what it needs of the settings.
  FlowSchedule(settings.steps, static_cast<float>(settings.time_shift));
  require(std::isfinite(static_cast<float>(settings.cfg_scale)), [&] {
    return fmt::format("--cfg-scale is {}; it must be finite in float32, below 3.4e38", settings.cfg_scale);
  });
  const auto transformer = [&] { return "the transformer of " + weights_.name(); };
  require(llm_width == config_.llm_width && clip_width == config_.clip_width, [&] {
    return fmt::format(
        "the text states have {} and {} channels and {} takes {} and {}; encoders and transformer must "
        "be of one checkpoint",
        llm_width, clip_width, transformer(), config_.llm_width, config_.clip_width);
  });
  require(latent_channels == config_.in_channels && latent_channels == config_.out_channels, [&] {
    return fmt::format("the latents have {} channels and {} maps {} to {}; the three must agree",
                       latent_channels, transformer(), config_.in_channels, config_.out_channels);
  });
}

void Denoiser::require_guided_pair(const Conditioning& conditioning) {
  require(conditioning.batch == guided_batch, [&] {
    return fmt::format("the conditioning holds {} prompts; guidance needs the prompt and the negative prompt",
                       conditioning.batch);
  });
}

std::unique_ptr<Denoiser::Loaded> Denoiser::load(const place::Place& place, const Numerics& numerics,
                                                 Progress& progress, const Ranks& ranks) const {
  if (ProcessRanks* const processes = process_ranks())
    return processes->load_transformer(*shared(place, numerics).transformer, ranks, progress);
  if (ranks.topology.ranks() > 1)
    return load_transformer_on_threads(place, numerics, config_, weights_, ranks, progress);
  if (const std::string text = fp8_text(numerics.quantization(config_.layers), config_.layers); !text.empty())
    progress.note("fp8", "in fp8: " + text);
  return progress.stage("load transformer", 0, [&](Stage& stage) -> std::unique_ptr<Loaded> {
    stage.moved(weights_.files.bytes());
    if (place.is_gpu()) {
      auto loaded = load_transformer_on_gpu(place, numerics, config_, weights_, ranks.streams_weights, stage);
      if (const std::string late = late_blocks_text(loaded->streamed(), ranks.deadlines); !late.empty())
        progress.tell(weights_.name() + late);
      return std::make_unique<WatchedTransformer>(
          std::move(loaded), place.gpu(), progress,
          [bus_id = place.gpu().bus_id] { return nvml_source(bus_id); });
    }
    return with_element(numerics.precision, [&]<Element T>() {
      return weights_.on_host(model::expected_tensors(config_), false,
                              [&](auto source) -> std::unique_ptr<Loaded> {
                                return std::make_unique<PlacedTransformer<T, Host>>(
                                    place, host, config_, std::move(source), numerics);
                              });
    });
  });
}

SharedModels Denoiser::shared(const place::Place& place, const Numerics& numerics) const {
  return {.transformer = SharedModels::Transformer{place, numerics, config_, weights_}};
}

}  // namespace stepvideo::pipeline
