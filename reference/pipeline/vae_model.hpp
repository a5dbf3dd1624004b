// The halves of a video VAE in memory, as commands see them: for any element and execution.
#pragma once
#include <functional>
#include <memory>

#include <stepvideo/core/view.hpp>

#include "model/decoded_chunk.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// See model::VaeDecoder::decode(); the latents are the host's.
class VaeDecoderModel {
 public:
  virtual ~VaeDecoderModel() = default;
  virtual void decode(LatentsView<const float> latents, const io::PixelFormat& format,
                      const model::OnFrames& on_frames) = 0;
};

/// One rank's, which may decode some of a video's chunks; see model::VaeDecoder::decode_chunks().
class VaeChunkDecoder : public VaeDecoderModel {
 public:
  virtual void decode_chunks(LatentsView<const float> latents, model::vae::ChunkDeal deal,
                             const io::PixelFormat& format, const model::OnChunk& on_chunk) = 0;
};

/// Loads the decoder of a rank, of those of this process, as a stage of its progress.
using LoadVaeDecoder = std::function<std::shared_ptr<VaeChunkDecoder>(int rank, Progress&)>;

/// See model::VaeEncoder::encode(); all views are the host's.
class VaeEncoderModel {
 public:
  virtual ~VaeEncoderModel() = default;
  virtual void encode(VideoView<const float> video, LatentsView<float> mean,
                      LatentsView<float> log_variance) = 0;
};

/// Loads a rank's encoder, as a stage of its progress.
using LoadVaeEncoder = std::function<std::shared_ptr<VaeEncoderModel>(Progress&)>;

}  // namespace stepvideo::pipeline
