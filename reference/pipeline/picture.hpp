// Single images.
#pragma once
#include <functional>

#include <stepvideo/core/buffer.hpp>

#include "pipeline/latents.hpp"

namespace stepvideo::pipeline {

/// RGB in [-1, 1], (height, width, 3).
struct Picture {
  int height = 0, width = 0;
  Buffer<float> pixels;
};

/// Makes one image of one latent frame.
using FrameDecoder = std::function<Picture(const Latents& frame)>;

}  // namespace stepvideo::pipeline
