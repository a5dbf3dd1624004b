// Latents become a video file, and a video becomes latents.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "io/video.hpp"
#include "model/vae_config.hpp"
#include "model/vae_memory.hpp"
#include "pipeline/latents.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/picture.hpp"
#include "pipeline/precision.hpp"
#include "pipeline/ranks.hpp"
#include "pipeline/vae_model.hpp"
#include "pipeline/weights.hpp"
#include "place/place.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// Where the VAE works, in which arithmetic, and what a chunk may take of memory; without a limit the usual
/// one of a GPU, or what the machine has. The decoder's convolutions may be fp8 in bf16 on a GPU that
/// serves_fp8_convolutions().
struct CodecSettings {
  place::Place place = {};
  Precision precision = Precision::fp32;
  bool convolves_in_fp8 = false;
  std::optional<std::size_t> memory_bytes = {};

  /// Of each of so many decoders on the machine.
  model::vae::MemoryLimit memory(int decoders = 1) const {
    if (memory_bytes) return {*memory_bytes, true};
    if (place.is_gpu()) return model::vae::MemoryLimit::usual(true);
    return model::vae::limit_of_each({available_memory_bytes(host)}, decoders);
  }
};

inline bool serves_fp8_convolutions(const place::Place& place) {
  return place.is_gpu() && place.gpu().major == 9;
}

class VideoCodec {
 public:
  /// Opens the model's VAE, of which the folder may be a file, and checks every tensor; loads no weights.
  /// Throws RequestError naming what is missing or wrong.
  explicit VideoCodec(const ModelSource& model);

  const model::VaeConfig& config() const { return config_; }
  int latent_channels() const { return static_cast<int>(config_.latent_channels); }
  /// Throws RequestError when the latents' channels are not the model's.
  void require_channels(const Latents& latents) const;

  /// What decoding on one rank holds at once: the decoder's weights, and the rooms of one chunk. Throws
  /// RequestError naming --vae-memory where no run of frames keeps to it.
  double decode_bytes(VideoShape video, const CodecSettings& settings) const;
  /// The same of encoding.
  double encode_bytes(VideoShape video, const CodecSettings& settings) const;

  /// The decoder in memory, for one video or several.
  class Decoder {
   public:
    virtual ~Decoder() = default;
    /// Decodes chunk by chunk and writes each frame as soon as it is known, to `output` by its extension.
    /// Throws Interrupted between chunks.
    virtual void decode(const Latents& latents, const std::filesystem::path& output,
                        const io::VideoOptions& options, Progress& progress) = 0;
  };
  /// On one rank, or on as many as `ranks.decoders` says, each with a decoder of its own. `progress` outlives
  /// it.
  std::unique_ptr<Decoder> load_decoder(const CodecSettings& settings, Progress& progress,
                                        const Ranks& ranks = {}) const;
  /// The decoder of one of so many ranks that decode a video each.
  std::unique_ptr<Decoder> load_decoder_of_one(const CodecSettings& settings, int decoders,
                                               Progress& progress) const;
  /// Loads the decoder of one of so many ranks. The codec outlives it.
  LoadVaeDecoder loader(const CodecSettings& settings, int decoders) const;

  /// The decoder in memory, for single latent frames; weights are loaded by the call.
  FrameDecoder load_frame_decoder(const CodecSettings& settings, Progress& progress) const;

  /// Mean and log-variance, (1, frames, channels, height, width) each. Throws RequestError when the video is
  /// off the grid.
  struct Moments {
    LatentShape shape;
    Buffer<float> mean, log_variance;
  };
  /// Where ranks are processes, all of them call it: so many as `ranks.decoders` says share the chunks, and
  /// rank 0 gets the moments.
  Moments encode(const io::Video& video, const CodecSettings& settings, Progress& progress,
                 const Ranks& ranks = {}) const;

 private:
  LoadVaeEncoder encoder_loader(const CodecSettings& settings, int encoders) const;
  std::shared_ptr<VaeChunkDecoder> load(const CodecSettings& settings, int decoders, Stage& stage) const;
  void require_encoder() const;
  /// Elements of the tensors that begin so.
  double parameters(const std::string& prefix) const;

  model::VaeConfig config_;
  Weights weights_;
};

}  // namespace stepvideo::pipeline
