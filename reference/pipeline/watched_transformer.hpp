// A transformer on a GPU that is watched while it works.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "on_demand/gpu_monitor.hpp"
#include "pipeline/denoiser.hpp"

namespace stepvideo::pipeline {

/// Adds to the run's summary what the GPU was like during its steps: clocks, power, what held it back, when
/// the first step was done, what decided its matrix products; and to the event log the same as facts.
class WatchedTransformer final : public Denoiser::Loaded {
 public:
  using MakeSource = std::function<std::unique_ptr<GpuSource>()>;

  /// `progress` outlives this; `source` is asked for each time the transformer works.
  WatchedTransformer(std::unique_ptr<Denoiser::Loaded> transformer, const place::GpuDescription& gpu,
                     Progress& progress, MakeSource source);

  void forward(const Conditioning& conditioning, LatentsView<const float> latents,
               VectorView<const float> times, LatentsView<float> velocity) override;
  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override;
  model::StreamedFacts streamed() const override { return transformer_->streamed(); }

 private:
  template <class Work>
  void watch(Work&& work);

  std::unique_ptr<Denoiser::Loaded> transformer_;
  place::GpuDescription gpu_;
  Progress& progress_;
  MakeSource source_;
  GpuStatistics statistics_;  // of all its work
  std::optional<double> first_step_seconds_;
};

}  // namespace stepvideo::pipeline
