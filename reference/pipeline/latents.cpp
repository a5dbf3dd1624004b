#include "pipeline/latents.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/sampler/noise.hpp>

#include "io/checkpoint.hpp"

namespace stepvideo::pipeline {

Latents noise_latents(std::uint64_t seed, LatentShape shape, int channels, const Numerics& numerics) {
  Latents latents{shape, channels, Buffer<float>(shape.tokens() * channels)};
  fill_unit_normal(host, seed, 0, latents.values.vector());
  if (numerics.rounds_as_release)
    for (float& value : latents.values) value = float(bf16(value));
  return latents;
}

Latents read_latents(const std::filesystem::path& path) {
  const auto file = io::Checkpoint::open(path);
  std::string name = "latents";
  for (const char* const other : {"z", "mean"})
    if (!file.contains(name)) name = other;
  require(file.contains(name), [&] {
    return fmt::format("{} holds no tensor latents, z or mean; denoise and encode write one", path.string());
  });
  const io::Shape& shape = file.at(name).shape;
  const auto fits = [](std::int64_t extent) {
    return extent > 0 && extent <= std::numeric_limits<int>::max();
  };
  require(shape.size() == 5 && shape[0] == 1 && std::ranges::all_of(shape, fits) &&
              (shape[1] == 1 || shape[1] % VideoShape::chunk_latent_frames == 0),
          [&] {
            return fmt::format(
                "{} in {} has shape {}; (1, frames, channels, height, width) with 1 frame or a multiple of 3 "
                "is needed",
                name, path.string(), io::to_string(shape));
          });
  return {{static_cast<int>(shape[1]), static_cast<int>(shape[3]), static_cast<int>(shape[4])},
          static_cast<int>(shape[2]),
          file.load<float>(name)};
}

io::NamedTensor named_tensor(const Latents& latents) {
  const auto& [shape, channels, values] = latents;
  return io::named_tensor("latents", {1, shape.frames, channels, shape.height, shape.width}, values);
}

void write_latents(const std::filesystem::path& path, const Latents& latents,
                   const std::map<std::string, std::string>& metadata) {
  io::write_safetensors(path, {named_tensor(latents)}, metadata);
}

}  // namespace stepvideo::pipeline
