// The transformer and the text encoders of a GPU.
#include "model/fence.cuh"
#include "model/on_gpu.cuh"
#include "pipeline/load_on_gpu.cuh"
#include "pipeline/pace.cuh"
#include "pipeline/placed_text.hpp"
#include "pipeline/placed_transformer.hpp"

namespace stepvideo::pipeline {
namespace {

template <class T, class E>
using AnyClip = PlacedClip<T, E>;

}  // namespace

std::unique_ptr<Denoiser::Loaded> load_transformer_on_gpu(const place::Place& place, const Numerics& numerics,
                                                          const model::TransformerConfig& config,
                                                          const Weights& weights, bool streams,
                                                          Stage& stage) {
  return with_element(numerics.precision, [&]<Element T>() {
    std::unique_ptr<model::BlockStore<T, Device>> blocks;
    if (streams)
      blocks = stream_layers(place, weights, expected_tensors(config),
                             model::BlockSlabs<T, Device>(config, model::BlockShare::whole(config),
                                                          numerics.quantization(config.layers)));
    return load_placed<Denoiser::Loaded, PlacedTransformer<T, Device>>(place, config, weights, false, stage,
                                                                       numerics, std::move(blocks));
  });
}

std::unique_ptr<TextModel> load_step_llm_on_gpu(const place::Place& place, Precision precision,
                                                const model::StepLlmConfig& config, const Weights& weights,
                                                Stage& stage) {
  return with_element(precision, [&]<Element T>() {
    double elements = 0;
    for (const auto& tensor : expected_tensors(config))
      elements += static_cast<double>(io::element_count(tensor.shape));
    constexpr double beside = 2e9;  // context, libraries and what an encoding of two prompts writes
    std::unique_ptr<model::LlmStore<T, Device>> layers;
    if (elements * sizeof(T) + beside > static_cast<double>(place::allowed_bytes(place.gpu())))
      layers = stream_layers(place, weights, expected_tensors(config), model::LlmSlabs<T, Device>(config));
    return load_placed<TextModel, PlacedStepLlm<T, Device>>(place, config, weights, false, stage,
                                                            std::move(layers));
  });
}

std::unique_ptr<TextModel> load_clip_on_gpu(const place::Place& place, Precision precision,
                                            const model::ClipTextConfig& config, const Weights& weights,
                                            Stage& stage) {
  return load_on_gpu<TextModel, AnyClip>(place, precision, config, weights, true,
                                         stage);  // BERT's pooler may be there
}

}  // namespace stepvideo::pipeline
