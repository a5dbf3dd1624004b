// The video VAE at work: one template over the element and the execution, behind the interfaces that commands
// see.
#pragma once
#include <algorithm>
#include <utility>

#include <stepvideo/core/shape.hpp>

#include "model/vae_decoder.hpp"
#include "model/vae_encoder.hpp"
#include "pipeline/carried.hpp"
#include "pipeline/vae_model.hpp"
#include "place/place.hpp"

namespace stepvideo::pipeline {

/// A VAE's shapes, what a chunk of it may take of memory, and whether its decoder's convolutions are fp8.
struct PlacedVaeConfig {
  model::VaeConfig shapes;
  model::vae::MemoryLimit memory;
  bool convolves_in_fp8 = false;
};
inline std::vector<io::ExpectedTensor> expected_tensors(const PlacedVaeConfig& config) {
  return model::expected_tensors(config.shapes);
}

template <Element T, Execution E, Element N = T>
class PlacedVaeDecoder final : public VaeChunkDecoder {
 public:
  PlacedVaeDecoder(const place::Place& place, E execution, const PlacedVaeConfig& config,
                   model::WeightSource<E>&& source)
      : place_(place), execution_(execution), decoder_(execution, config.shapes, std::move(source)) {
    decoder_.limit_memory(config.memory);
  }

  void decode(LatentsView<const float> latents, const io::PixelFormat& format,
              const model::OnFrames& on_frames) override {
    place_.bind();
    const Carried<float, E> carried(execution_, latents.data, latents.size());
    latents.data = carried.data();
    decoder_.decode(latents, format, on_frames);
  }

  void decode_chunks(LatentsView<const float> latents, model::vae::ChunkDeal deal,
                     const io::PixelFormat& format, const model::OnChunk& on_chunk) override {
    place_.bind();
    const Carried<float, E> carried(execution_, latents.data, latents.size());
    latents.data = carried.data();
    decoder_.decode_chunks(latents, deal, format, on_chunk);
  }

 private:
  place::Place place_;  // keeps the GPU open
  E execution_;
  model::VaeDecoder<T, E, N> decoder_;
};

/// Takes a chunk at a time to where it is encoded.
template <Element T, Execution E>
class PlacedVaeEncoder final : public VaeEncoderModel {
 public:
  PlacedVaeEncoder(const place::Place& place, E execution, const PlacedVaeConfig& config,
                   model::WeightSource<E>&& source)
      : place_(place), execution_(execution), encoder_(execution, config.shapes, std::move(source)) {
    encoder_.limit_memory(config.memory);
  }

  void encode(VideoView<const float> video, LatentsView<float> mean,
              LatentsView<float> log_variance) override {
    place_.bind();
    const index_t step = std::min<index_t>(video.frames, VideoShape::chunk_frames);
    mean.shape.frames = log_variance.shape.frames = step == 1 ? 1 : VideoShape::chunk_latent_frames;
    const Buffer<float, E> moments(execution_, 2 * mean.size());
    const auto half = [&](index_t which) {
      LatentsView<float> view = mean;
      view.data = moments.data() + which * mean.size();
      return view;
    };
    for (index_t first = 0; first < video.frames; first += step) {
      VideoView<const float> chunk = video.frames_from(first, step);
      const Carried<float, E> carried(execution_, chunk.data, chunk.size());
      chunk.data = carried.data();
      encoder_.encode(chunk, half(0), half(1));
      download(execution_, VectorView<float>{half(0).data, mean.size()}, mean.data);
      download(execution_, VectorView<float>{half(1).data, mean.size()}, log_variance.data);
      mean.data += mean.size();
      log_variance.data += mean.size();
    }
  }

 private:
  place::Place place_;  // keeps the GPU open
  E execution_;
  model::VaeEncoder<T, E> encoder_;
};

}  // namespace stepvideo::pipeline
