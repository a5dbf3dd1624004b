#include "pipeline/text_model.hpp"

#include "pipeline/on_gpu.hpp"
#include "pipeline/placed_text.hpp"

namespace stepvideo::pipeline {

std::unique_ptr<TextModel> load_step_llm(const place::Place& place, Precision precision,
                                         const model::StepLlmConfig& config, const Weights& weights,
                                         Stage& stage) {
  if (place.is_gpu()) return load_step_llm_on_gpu(place, precision, config, weights, stage);
  return with_element(precision, [&]<Element T>() {
    return weights.on_host(
        model::expected_tensors(config), false, [&](auto source) -> std::unique_ptr<TextModel> {
          return std::make_unique<PlacedStepLlm<T, Host>>(place, host, config, std::move(source));
        });
  });
}

std::unique_ptr<TextModel> load_clip(const place::Place& place, Precision precision,
                                     const model::ClipTextConfig& config, const Weights& weights,
                                     Stage& stage) {
  if (place.is_gpu()) return load_clip_on_gpu(place, precision, config, weights, stage);
  return with_element(precision, [&]<Element T>() {
    return weights.on_host(
        model::expected_tensors(config), true, [&](auto source) -> std::unique_ptr<TextModel> {
          return std::make_unique<PlacedClip<T, Host>>(place, host, config, std::move(source));
        });
  });
}

}  // namespace stepvideo::pipeline
