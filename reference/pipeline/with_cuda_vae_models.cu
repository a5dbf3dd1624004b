// The video VAE of a GPU.
#include "model/on_gpu_vae.cuh"
#include "pipeline/load_on_gpu.cuh"
#include "pipeline/placed_vae.hpp"

namespace stepvideo::pipeline {
namespace {

template <class T, class E>
using AnyDecoder = PlacedVaeDecoder<T, E>;
template <class T, class E>
using AnyEncoder = PlacedVaeEncoder<T, E>;

}  // namespace

std::unique_ptr<VaeChunkDecoder> load_vae_decoder_on_gpu(const place::Place& place, Precision precision,
                                                         const PlacedVaeConfig& config,
                                                         const Weights& weights, Stage& stage) {
  if (config.convolves_in_fp8)
    return load_placed<VaeChunkDecoder, PlacedVaeDecoder<bf16, Device, fp8_e4m3>>(place, config, weights,
                                                                                  false, stage);
  return load_on_gpu<VaeChunkDecoder, AnyDecoder>(place, precision, config, weights, false, stage);
}

std::unique_ptr<VaeEncoderModel> load_vae_encoder_on_gpu(const place::Place& place, Precision precision,
                                                         const PlacedVaeConfig& config,
                                                         const Weights& weights, Stage& stage) {
  return load_on_gpu<VaeEncoderModel, AnyEncoder>(place, precision, config, weights, false, stage);
}

}  // namespace stepvideo::pipeline
