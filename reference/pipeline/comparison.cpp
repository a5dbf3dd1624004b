#include "pipeline/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/error.hpp>

namespace stepvideo::pipeline {
namespace {

constexpr int channels = 3;

void decode(const VideoCodec& codec, const CodedVideo& video, Progress& progress,
            const model::OnFrames& on_frames) {
  const auto decoder = codec.loader(video.settings, 1)(0, progress);
  const Latents& latents = video.latents;
  progress.stage("decode to compare", VideoShape::from_latent(latents.shape).frames, [&](Stage& stage) {
    decoder->decode({latents.values.data(), 1, latents.channels, latents.shape}, RgbPixels{},
                    [&](const io::ReadyFrames& ready) {
                      on_frames(ready);
                      for (index_t frame = 0; frame < ready.frames; ++frame) stage.step();
                    });
  });
}

Similarity of_latents(const Latents& made, const Latents& reference) {
  const auto [least, greatest] = std::ranges::minmax(reference.values);
  Similarity similarity(greatest > least ? static_cast<double>(greatest) - least : 1.0);
  const index_t height = made.shape.height, width = made.shape.width;
  for (index_t first = 0; first < made.size(); first += height * width)
    similarity.add(made.values.data() + first, reference.values.data() + first, height, width);
  return similarity;
}

std::string text_of(double psnr, double ssim) {
  return std::isinf(psnr) ? std::string("no difference") : fmt::format("{:.2f} dB, SSIM {:.4f}", psnr, ssim);
}

}  // namespace

double compared_bytes(VideoShape video) {
  return static_cast<double>(channels) * video.frames * video.height * video.width;
}

Comparison compare(const VideoCodec& codec, const CodedVideo& made, const CodedVideo& reference,
                   Progress& progress) {
  require(
      made.latents.shape == reference.latents.shape && made.latents.channels == reference.latents.channels,
      [] { return "latents of two sizes cannot be compared"; });
  const VideoShape video = VideoShape::from_latent(made.latents.shape);
  const Buffer<std::uint8_t> kept(static_cast<index_t>(compared_bytes(video)));
  std::uint8_t* place = kept.data();
  decode(codec, made, progress,
         [&](const io::ReadyFrames& ready) { place = std::copy_n(ready.data, ready.size(), place); });

  Comparison comparison{of_latents(made.latents, reference.latents), Similarity(255), 0,
                        std::numeric_limits<double>::infinity()};
  int number = 0;
  const std::uint8_t* own = kept.data();
  decode(codec, reference, progress, [&](const io::ReadyFrames& ready) {
    for (index_t frame = 0; frame < ready.frames; ++frame, own += ready.frame_bytes) {
      Similarity of_frame(255);
      for (int channel = 0; channel < channels; ++channel)
        of_frame.add(own + channel, ready.frame(frame) + channel, ready.height, ready.width, channels);
      comparison.frames.add(of_frame);
      ++number;
      if (of_frame.psnr() < comparison.worst_psnr)
        comparison.worst_frame = number, comparison.worst_psnr = of_frame.psnr();
    }
  });
  return comparison;
}

std::string to_string(const Comparison& comparison) {
  std::string text =
      fmt::format("latents {}; frames {}", text_of(comparison.latents.psnr(), comparison.latents.ssim()),
                  text_of(comparison.frames.psnr(), comparison.frames.ssim()));
  if (comparison.worst_frame > 0)
    text += fmt::format(", the least frame {} with {:.2f} dB", comparison.worst_frame, comparison.worst_psnr);
  return text;
}

}  // namespace stepvideo::pipeline
