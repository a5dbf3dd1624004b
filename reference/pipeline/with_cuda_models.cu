// The models of a GPU.
#include "model/noise_source.hpp"
#include "model/on_gpu.cuh"
#include "model/upload_source.hpp"
#include "pipeline/on_gpu.hpp"
#include "pipeline/pace.cuh"
#include "pipeline/placed_text.hpp"
#include "pipeline/placed_transformer.hpp"
#include "place/accelerator.cuh"

namespace stepvideo::pipeline {
namespace {

/// Makes a Placed<T, Device> of weights that come from files or from a seed, in the stream that computes.
template <class Base, template <class, class> class Placed, class Config>
std::unique_ptr<Base> load(const place::Place& place, Precision precision, const Config& config,
                           const Weights& weights, bool allows_extra, Stage& stage) {
  place::Accelerator& accelerator = place.accelerator();
  const Device gpu = accelerator.compute();
  const auto expected = model::expected_tensors(config);
  return with_element(precision, [&]<Element T>() -> std::unique_ptr<Base> {
    if (weights.seed)
      return std::make_unique<Placed<T, Device>>(place, gpu, config,
                                                 model::NoiseSource<Device>(gpu, expected, *weights.seed));
    place::UploadPath path;
    auto loaded = std::make_unique<Placed<T, Device>>(
        place, gpu, config,
        model::UploadSource(gpu, path.ring, weights.files, expected, allows_extra,
                            [&](std::uint64_t bytes) { stage.progressed(bytes, weights.files.bytes()); }));
    synchronize(gpu);  // the ring's memory ends here
    return loaded;
  });
}

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
  return load<Denoiser::Loaded, AnyTransformer>(place, precision, config, weights, false, stage);
}

std::unique_ptr<TextModel> load_step_llm_on_gpu(const place::Place& place, Precision precision,
                                                const model::StepLlmConfig& config, const Weights& weights,
                                                Stage& stage) {
  return load<TextModel, AnyStepLlm>(place, precision, config, weights, false, stage);
}

std::unique_ptr<TextModel> load_clip_on_gpu(const place::Place& place, Precision precision,
                                            const model::ClipTextConfig& config, const Weights& weights,
                                            Stage& stage) {
  return load<TextModel, AnyClip>(place, precision, config, weights, true,
                                  stage);  // BERT's pooler may be there
}

}  // namespace stepvideo::pipeline
