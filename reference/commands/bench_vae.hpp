// What a GPU's video VAE takes: a chunk decoded and a chunk encoded, by level and kind of work.
#pragma once
#include <cstdint>

#include <stepvideo/core/shape.hpp>

#include "model/vae_memory.hpp"
#include "place/place.hpp"

namespace stepvideo::commands {

struct VaeBenchRequest {
  VideoShape chunk{.frames = 17, .height = 544, .width = 992};
  model::vae::MemoryLimit memory = model::vae::MemoryLimit::usual(true);
  bool convolves_in_fp8 = false;  ///< the decoder, else bf16
  std::uint64_t seed = 1;         ///< of the weights, which have the release's shapes
};

/// Measures in bf16, or the decoder with convolutions in fp8, and prints. Throws RequestError for a place
/// without a GPU and a memory that no run of frames keeps to, Error where CUDA fails.
void bench_vae(const place::Place& place, const VaeBenchRequest& request);

}  // namespace stepvideo::commands
