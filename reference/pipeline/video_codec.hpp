// Latents become a video file, and a video becomes latents.
#pragma once
#include <filesystem>
#include <memory>

#include "io/checkpoint.hpp"
#include "io/video.hpp"
#include "model/parameter.hpp"
#include "model/vae_config.hpp"
#include "pipeline/latents.hpp"
#include "pipeline/picture.hpp"
#include "pipeline/precision.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

class VideoCodec {
 public:
  /// Opens the VAE of a checkpoint folder, its own folder or file, and checks every tensor; loads no weights.
  /// Throws RequestError naming what is missing or wrong.
  explicit VideoCodec(const std::filesystem::path& model);

  int latent_channels() const { return static_cast<int>(config_.latent_channels); }
  /// Throws RequestError when the latents' channels are not the model's.
  void require_channels(const Latents& latents) const;

  /// What decoding holds at once, at least: the activations of one chunk, without weights.
  double decode_bytes(VideoShape video) const;

  /// The decoder in memory, for one video or several.
  class Decoder {
   public:
    virtual ~Decoder() = default;
    /// Decodes chunk by chunk and writes each frame as soon as it is known, to `output` by its extension.
    /// Throws Interrupted between chunks.
    virtual void decode(const Latents& latents, const std::filesystem::path& output,
                        const io::VideoOptions& options, Progress& progress) = 0;
  };
  std::unique_ptr<Decoder> load_decoder(Precision precision, Progress& progress) const;

  /// The decoder in memory, for single latent frames; weights are loaded by the call.
  FrameDecoder load_frame_decoder(Precision precision, Progress& progress) const;

  /// Mean and log-variance, (1, frames, channels, height, width) each. Throws RequestError when the video is
  /// off the grid.
  struct Moments {
    LatentShape shape;
    Buffer<float> mean, log_variance;
  };
  Moments encode(const io::Video& video, Precision precision, Progress& progress) const;

 private:
  model::CheckpointSource source() const;

  io::Checkpoint weights_;
  model::VaeConfig config_;
};

}  // namespace stepvideo::pipeline
