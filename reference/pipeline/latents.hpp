// Latent videos: what is denoised, stored and decoded.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/shape.hpp>

#include "io/safetensors.hpp"
#include "pipeline/precision.hpp"

namespace stepvideo::pipeline {

/// One latent video, (frames, channels, height, width), float32.
struct Latents {
  LatentShape shape;
  int channels = 0;
  Buffer<float> values;

  index_t size() const { return shape.tokens() * channels; }
};

/// Unit normal noise, rounded where the numerics ask for it. An element depends on the seed and its own index
/// only.
Latents noise_latents(std::uint64_t seed, LatentShape shape, int channels, const Numerics& numerics = {});

/// Reads tensor `latents`, `z`, or `mean` as encode writes it, of shape (1, frames, channels, height, width).
/// Throws RequestError naming the tensor: missing, of another rank, more than one video, frames that are
/// neither 1 nor a multiple of 3, NaN.
Latents read_latents(const std::filesystem::path& path);

/// Tensor `latents`, (1, frames, channels, height, width); the argument must outlive the result.
io::NamedTensor named_tensor(const Latents& latents);

/// Writes it.
void write_latents(const std::filesystem::path& path, const Latents& latents,
                   const std::map<std::string, std::string>& metadata = {});

}  // namespace stepvideo::pipeline
