// The transformer on ranks that are threads of this process.
#pragma once
#include <memory>

#include "model/config.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/on_gpu.hpp"

namespace stepvideo::pipeline {

/// Every rank reads its part of the weights; rank 0 is the calling thread, tells `progress` and calls the
/// observer. What stops one rank stops all of them, and is thrown with the rank's name. A rank that hangs is
/// named, and the process ends with code 1 when the others have left and run.rescue was called: no thread can
/// be ended from outside.
std::unique_ptr<Denoiser::Loaded> load_transformer_on_threads(Precision precision,
                                                              const model::TransformerConfig& config,
                                                              const Weights& weights, const Ranks& ranks,
                                                              Progress& progress);

}  // namespace stepvideo::pipeline
