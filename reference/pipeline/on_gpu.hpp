// Models on a GPU, behind the interfaces of those on the CPU; with_cuda_*models.cu build them,
// without_cuda.cpp refuses.
#pragma once
#include <memory>

#include <stepvideo/comm/flight_recorder.hpp>
#include <stepvideo/comm/mesh.hpp>
#include <stepvideo/comm/rank_words.hpp>
#include <stepvideo/comm/thread_communicator.hpp>

#include "model/config.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/precision.hpp"
#include "pipeline/text_model.hpp"
#include "pipeline/vae_model.hpp"
#include "pipeline/weights.hpp"
#include "place/place.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

struct PlacedVaeConfig;  // pipeline/placed_vae.hpp

/// Each throws RequestError as the model's constructor does, Error where the GPU has no memory left; the
/// place's GPU stays open as long as the model. Files come through a ring of pinned memory, with progress in
/// the stage. A model that streams keeps two layers in the GPU's memory and fetches each as it is needed: the
/// transformer where it is told to, Step-LLM where its weights leave no room. Weights outlive the model.
std::unique_ptr<Denoiser::Loaded> load_transformer_on_gpu(const place::Place& place, const Numerics& numerics,
                                                          const model::TransformerConfig& config,
                                                          const Weights& weights, bool streams, Stage& stage);

/// What one rank of several has besides its GPU. All of it outlives the rank's models.
struct GpuRankEnds {
  RankWords& words;
  ThreadCommunicator* peers =
      nullptr;  ///< where data goes by copies between GPUs of this process; or by NCCL
  FlightRecorder& recorder;
  Deadlines deadlines;
  ExchangeOptions exchange;
};
/// The rank's part; every call is one of all ranks together. Throws RequestError where they cannot exchange.
std::unique_ptr<Denoiser::Loaded> load_transformer_part_on_gpu(const place::Place& place,
                                                               const GpuRankEnds& ends, Mesh mesh,
                                                               const Numerics& numerics,
                                                               const model::TransformerConfig& config,
                                                               const Weights& weights, Stage& stage);
std::unique_ptr<TextModel> load_step_llm_on_gpu(const place::Place& place, Precision precision,
                                                const model::StepLlmConfig& config, const Weights& weights,
                                                Stage& stage);
std::unique_ptr<TextModel> load_clip_on_gpu(const place::Place& place, Precision precision,
                                            const model::ClipTextConfig& config, const Weights& weights,
                                            Stage& stage);
std::unique_ptr<VaeChunkDecoder> load_vae_decoder_on_gpu(const place::Place& place, Precision precision,
                                                         const PlacedVaeConfig& config,
                                                         const Weights& weights, Stage& stage);
std::unique_ptr<VaeEncoderModel> load_vae_encoder_on_gpu(const place::Place& place, Precision precision,
                                                         const PlacedVaeConfig& config,
                                                         const Weights& weights, Stage& stage);

}  // namespace stepvideo::pipeline
