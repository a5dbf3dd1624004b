// Models on ranks that are threads of this process. Rank 0 is the calling thread; what stops one rank stops
// all of them, and is thrown with the rank's name.
#pragma once
#include <memory>

#include "model/config.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/on_gpu.hpp"
#include "pipeline/vae_model.hpp"

namespace stepvideo::pipeline {

/// Every rank reads its part of the weights; rank 0 tells `progress` and calls the observer. A rank that
/// hangs is named, and the process ends with code 1 when the others have left and run.rescue was called: no
/// thread can be ended from outside.
std::unique_ptr<Denoiser::Loaded> load_transformer_on_threads(const place::Place& place,
                                                              const Numerics& numerics,
                                                              const model::TransformerConfig& config,
                                                              const Weights& weights, const Ranks& ranks,
                                                              Progress& progress);

/// A decoder for each of `ranks.decoders` ranks, 2 or more; `progress` outlives it. Rank 0 gets all frames.
std::shared_ptr<VaeDecoderModel> load_decoder_on_threads(const LoadVaeDecoder& load, const Ranks& ranks,
                                                         Progress& progress);

}  // namespace stepvideo::pipeline
