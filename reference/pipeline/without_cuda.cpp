// A build without CUDA has no GPU to load a model on; places of such a build never ask for one.
#include <stepvideo/core/error.hpp>

#include "pipeline/on_gpu.hpp"

namespace stepvideo::pipeline {
namespace {

[[noreturn]] void refuse() {
  throw Error("this program was built without CUDA and runs no model on a GPU");
}

}  // namespace

std::unique_ptr<Denoiser::Loaded> load_transformer_on_gpu(const place::Place&, const Numerics&,
                                                          const model::TransformerConfig&, const Weights&,
                                                          bool, Stage&) {
  refuse();
}
std::unique_ptr<Denoiser::Loaded> load_transformer_part_on_gpu(const place::Place&, const GpuRankEnds&, Mesh,
                                                               const Numerics&,
                                                               const model::TransformerConfig&,
                                                               const Weights&, Stage&) {
  refuse();
}
std::unique_ptr<TextModel> load_step_llm_on_gpu(const place::Place&, Precision, const model::StepLlmConfig&,
                                                const Weights&, Stage&) {
  refuse();
}
std::unique_ptr<TextModel> load_clip_on_gpu(const place::Place&, Precision, const model::ClipTextConfig&,
                                            const Weights&, Stage&) {
  refuse();
}
std::unique_ptr<VaeChunkDecoder> load_vae_decoder_on_gpu(const place::Place&, Precision,
                                                         const PlacedVaeConfig&, const Weights&, Stage&) {
  refuse();
}
std::unique_ptr<VaeEncoderModel> load_vae_encoder_on_gpu(const place::Place&, Precision,
                                                         const PlacedVaeConfig&, const Weights&, Stage&) {
  refuse();
}

}  // namespace stepvideo::pipeline
