// Noise becomes latents.
#pragma once
#include <filesystem>

#include "io/checkpoint.hpp"
#include "model/config.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/latents.hpp"
#include "pipeline/precision.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// How the flow is integrated and guided; the release's values.
struct SamplerSettings {
  int steps = 50;
  double cfg_scale = 9;
  double time_shift = 13;
};

class Denoiser {
 public:
  /// Opens the transformer of a checkpoint folder, or its own folder, and checks every tensor; loads no
  /// weights. Throws RequestError naming what is missing or wrong.
  explicit Denoiser(const std::filesystem::path& model);

  const model::TransformerConfig& config() const { return config_; }

  /// Throws RequestError naming what disagrees: text states of this model's channels, latents of its
  /// channels, 1 step or more, a positive time shift.
  void require_fits(index_t llm_width, index_t clip_width, const SamplerSettings& settings,
                    int latent_channels) const;

  /// What denoising holds at once, at least: latents and activations, without weights.
  double activation_bytes(LatentShape shape, Precision precision) const;

  /// Integrates `latents` in place from sigma 0 to 1; `conditioning` holds a prompt and a negative prompt.
  /// Weights are loaded for the call. Throws Interrupted between steps, Error naming the step after which
  /// latents were no longer finite.
  void denoise(const Conditioning& conditioning, const SamplerSettings& settings, Precision precision,
               Latents& latents, Progress& progress) const;

 private:
  model::TransformerConfig config_;
  io::Checkpoint weights_;
};

}  // namespace stepvideo::pipeline
