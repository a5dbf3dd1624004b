// Noise becomes latents.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include <stepvideo/kernels/elementwise/latents.hpp>

#include "model/config.hpp"
#include "model/streamed_facts.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/latents.hpp"
#include "pipeline/precision.hpp"
#include "pipeline/ranks.hpp"
#include "pipeline/request.hpp"
#include "pipeline/weights.hpp"
#include "place/place.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

struct SharedModels;  // pipeline/process_ranks.hpp

/// Where the integration stands after a step; views live as long as the call.
struct StepState {
  int step = 0;            ///< steps done, from 1
  int steps = 0;           ///< of the whole run
  float sigma = 0;         ///< of the latents: 0 is noise, 1 the video
  float guidance = 1;      ///< by which the two velocities became one
  const Latents& latents;  ///< after the step
  /// Of the step, (2, channels, latent shape): the prompt's velocity, then the negative prompt's; at guidance
  /// 1 (1, ...), the prompt's alone.
  LatentsView<const float> velocities;
};
/// May warn through the stage.
using StepObserver = std::function<void(const StepState&, Stage&)>;

/// One integration: `latents`, behind step `steps_done`, are integrated in place to sigma 1. At guidance 1
/// the negative prompt is not looked at.
struct Integration {
  const Conditioning& conditioning;  ///< a prompt and a negative prompt
  const SamplerSettings& settings;
  Latents& latents;
  int steps_done = 0;
  /// What activations and text may take of memory; without it, what the machine has. With less the pair goes
  /// through the transformer one after the other, and text is made again at every step: the same bits.
  std::optional<std::size_t> spare_bytes = {};
  /// Called, where there is one, on each rank before it begins a step, from 1 on.
  std::function<void(int rank, int step)> before_step = {};
  /// Called, where there is one, when ranks hang and the process ends without them: the last latents that an
  /// observer saw are still there.
  std::function<void()> rescue = {};
};

class Denoiser {
 public:
  /// Opens the model's transformer and checks every tensor; loads no weights. Throws RequestError naming what
  /// is missing or wrong.
  explicit Denoiser(const ModelSource& model);

  const model::TransformerConfig& config() const { return config_; }

  /// Throws RequestError naming what disagrees: text states of this model's channels, latents of its
  /// channels, 1 step or more, a positive time shift.
  void require_fits(index_t llm_width, index_t clip_width, const SamplerSettings& settings,
                    int latent_channels) const;

  /// Throws RequestError unless the conditioning holds a prompt and a negative prompt.
  static void require_guided_pair(const Conditioning& conditioning);

  /// The transformer in memory, for one run or several.
  class Loaded {
   public:
    virtual ~Loaded() = default;
    /// One forward pass of a batch: velocity = f(latents, times, text), all on the host.
    virtual void forward(const Conditioning& conditioning, LatentsView<const float> latents,
                         VectorView<const float> times, LatentsView<float> velocity) = 0;
    /// Calls `observer`, where there is one, after each step. Throws Interrupted between steps, Error naming
    /// the step after which latents were no longer finite, and as require_guided_pair().
    virtual void denoise(const Integration& run, Progress& progress, const StepObserver& observer = {}) = 0;
    /// What fetching blocks has cost so far.
    virtual model::StreamedFacts streamed() const { return {}; }
  };
  /// On one rank, or on as many as `ranks` says, each with its part of the weights.
  std::unique_ptr<Loaded> load(const place::Place& place, const Numerics& numerics, Progress& progress,
                               const Ranks& ranks = {}) const;
  /// Where ranks are processes, what those other than 0 have parts of. The denoiser outlives it.
  SharedModels shared(const place::Place& place, const Numerics& numerics) const;

 private:
  model::TransformerConfig config_;
  Weights weights_;
};

}  // namespace stepvideo::pipeline
