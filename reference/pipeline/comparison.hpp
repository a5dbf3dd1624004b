// What a run's arithmetic costs: its latents and frames beside those of the same run in another.
#pragma once
#include <string>

#include "pipeline/latents.hpp"
#include "pipeline/similarity.hpp"
#include "pipeline/video_codec.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// Latents as a codec decodes them.
struct CodedVideo {
  const Latents& latents;
  CodecSettings settings;
};

struct Comparison {
  Similarity latents, frames;
  int worst_frame = 0;    ///< from 1
  double worst_psnr = 0;  ///< of that frame
};

/// Decodes both, one after the other. The frames of `made` are kept as 8 bits, compared_bytes() of the host's
/// memory; those of `reference` are compared as they come. The range of latents is that of the reference.
Comparison compare(const VideoCodec& codec, const CodedVideo& made, const CodedVideo& reference,
                   Progress& progress);

double compared_bytes(VideoShape video);

/// "latents 41.2 dB, SSIM 0.9981; frames ...".
std::string to_string(const Comparison& comparison);

}  // namespace stepvideo::pipeline
