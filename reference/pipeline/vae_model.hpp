// The halves of a video VAE in memory, as commands see them: for any element and execution.
#pragma once
#include <functional>

#include <stepvideo/core/view.hpp>

namespace stepvideo::pipeline {

/// See model::VaeDecoder::decode(); the latents are the host's.
class VaeDecoderModel {
 public:
  virtual ~VaeDecoderModel() = default;
  virtual void decode(LatentsView<const float> latents,
                      const std::function<void(VideoView<const float>)>& on_frames) = 0;
};

/// See model::VaeEncoder::encode(); all views are the host's.
class VaeEncoderModel {
 public:
  virtual ~VaeEncoderModel() = default;
  virtual void encode(VideoView<const float> video, LatentsView<float> mean,
                      LatentsView<float> log_variance) = 0;
};

}  // namespace stepvideo::pipeline
