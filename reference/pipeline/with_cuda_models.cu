// The transformer and the text encoders of a GPU.
#include "model/on_gpu.cuh"
#include "pipeline/load_on_gpu.cuh"
#include "pipeline/pace.cuh"
#include "pipeline/placed_text.hpp"
#include "pipeline/placed_transformer.hpp"

namespace stepvideo::pipeline {
namespace {

template <class T, class E>
using AnyTransformer = PlacedTransformer<T, E>;
template <class T, class E>
using AnyStepLlm = PlacedStepLlm<T, E>;
template <class T, class E>
using AnyClip = PlacedClip<T, E>;

}  // namespace

std::unique_ptr<Denoiser::Loaded> load_transformer_on_gpu(const place::Place& place, Precision precision,
                                                          const model::TransformerConfig& config,
                                                          const Weights& weights, Stage& stage) {
  return load_on_gpu<Denoiser::Loaded, AnyTransformer>(place, precision, config, weights, false, stage);
}

std::unique_ptr<TextModel> load_step_llm_on_gpu(const place::Place& place, Precision precision,
                                                const model::StepLlmConfig& config, const Weights& weights,
                                                Stage& stage) {
  return load_on_gpu<TextModel, AnyStepLlm>(place, precision, config, weights, false, stage);
}

std::unique_ptr<TextModel> load_clip_on_gpu(const place::Place& place, Precision precision,
                                            const model::ClipTextConfig& config, const Weights& weights,
                                            Stage& stage) {
  return load_on_gpu<TextModel, AnyClip>(place, precision, config, weights, true,
                                         stage);  // BERT's pooler may be there
}

}  // namespace stepvideo::pipeline
