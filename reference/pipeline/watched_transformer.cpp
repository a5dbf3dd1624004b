#include "pipeline/watched_transformer.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "trace/units.hpp"

namespace stepvideo::pipeline {
namespace {

/// Asking costs NVML a fraction of a millisecond, and a step of the smallest model takes one.
constexpr std::chrono::milliseconds pause{50};

RunFacts facts_of(const GpuStatistics& statistics, const place::GpuDescription& gpu) {
  RunFacts facts{{"gpu", gpu.name}, {"gpu_matmuls", gpu.matmuls}};
  if (const auto clock = statistics.mean_clock_mhz()) facts["gpu_clock_mhz"] = *clock;
  if (const auto clock = statistics.least_clock_mhz()) facts["gpu_least_clock_mhz"] = *clock;
  if (const auto power = statistics.mean_power_watts()) facts["gpu_power_watts"] = *power;
  for (const auto& [reason, share] : statistics.held_back()) facts["gpu_held_back_by_" + reason] = share;
  return facts;
}

}  // namespace

WatchedTransformer::WatchedTransformer(std::unique_ptr<Denoiser::Loaded> transformer,
                                       const place::GpuDescription& gpu, Progress& progress,
                                       MakeSource source)
    : transformer_(std::move(transformer)), gpu_(gpu), progress_(progress), source_(std::move(source)) {}

template <class Work>
void WatchedTransformer::watch(Work&& work) {
  GpuMonitor monitor(source_(), pause);
  work(monitor);
  statistics_.add(monitor.stop());
  std::string text = fmt::format("{} (cuda:{})", gpu_.name, gpu_.ordinal);
  const auto add = [&](const std::string& part) { text += (text.ends_with(')') ? ": " : "; ") + part; };
  if (const std::string read = statistics_.text(); !read.empty()) add(read);
  if (first_step_seconds_)
    add("the first step was done " + trace::seconds_text(*first_step_seconds_) + " after the start");
  add("matrix products by " + gpu_.matmuls);
  if (const model::StreamedFacts streamed = transformer_->streamed(); streamed.layers > 0)
    add(fmt::format("{} blocks of {:.1f} GB streamed at {:.1f} GB/s, which held the GPU up for {}",
                    streamed.layers, 1e-9 * static_cast<double>(streamed.bytes),
                    1e-9 * static_cast<double>(streamed.bytes) / streamed.seconds,
                    trace::seconds_text(streamed.stalled_seconds)));
  progress_.note("gpu", text);
}

void WatchedTransformer::forward(const Conditioning& conditioning, LatentsView<const float> latents,
                                 VectorView<const float> times, LatentsView<float> velocity) {
  watch([&](GpuMonitor&) { transformer_->forward(conditioning, latents, times, velocity); });
}

void WatchedTransformer::denoise(const Integration& run, Progress& progress, const StepObserver& observer) {
  watch([&](GpuMonitor& monitor) {
    const auto observe = [&](const StepState& state, Stage& stage) {
      observer(state, stage);
      // With the last step's event: behind it none may come.
      if (state.step == state.steps) progress.describe(facts_of(monitor.so_far(), gpu_));
    };
    transformer_->denoise(run, progress, observer ? StepObserver(observe) : observer);
    if (!first_step_seconds_) first_step_seconds_ = progress.stages().back().first_step_seconds;
  });
}

}  // namespace stepvideo::pipeline
