#include "pipeline/video_codec.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "io/model_folder.hpp"
#include "model/vae.hpp"

namespace stepvideo::pipeline {
namespace {

template <Element T>
class LoadedDecoder final : public VideoCodec::Decoder {
 public:
  explicit LoadedDecoder(model::VaeDecoder<T, Host> decoder) : decoder_(std::move(decoder)) {}

  void decode(const Latents& latents, const std::filesystem::path& output, const io::VideoOptions& options,
              Progress& progress) override {
    const VideoShape video = VideoShape::from_latent(latents.shape);
    const auto writer = io::open_video_writer(output, video, options);
    progress.stage("decode", video.chunks(), [&](Stage& stage) {
      index_t frames = 0;
      const auto write = [&](VideoView<const float> ready) {
        writer->append(ready);
        const index_t chunks_before = frames * video.chunks() / video.frames;
        frames += ready.frames;
        if (frames * video.chunks() / video.frames > chunks_before) stage.step();
      };
      decoder_.decode({latents.values.data(), 1, latents.channels, latents.shape}, write);
    });
    writer->finish();
  }

 private:
  model::VaeDecoder<T, Host> decoder_;
};

}  // namespace

VideoCodec::VideoCodec(const std::filesystem::path& model)
    : weights_(io::Checkpoint::open(io::find_component(model, io::Component::vae))),
      config_(model::VaeConfig::of(weights_)) {}

model::CheckpointSource VideoCodec::source() const {
  return {weights_, model::expected_tensors(config_)};
}

void VideoCodec::require_channels(const Latents& latents) const {
  require(latents.channels == latent_channels(), [&] {
    return fmt::format(
        "the latents have {} channels and the VAE {} decodes {}; latents and VAE must belong together",
        latents.channels, weights_.path().string(), latent_channels());
  });
}

double VideoCodec::decode_bytes(VideoShape video) const {
  // The finest level works on three more frames than it keeps, in a float32 stream and one copy.
  const double frames = video.is_image() ? 4 : VideoShape::chunk_frames + 3;
  const double width = static_cast<double>(config_.decoder.up.widths[0]);
  return 2 * sizeof(float) * frames * width * video.height * video.width;
}

std::unique_ptr<VideoCodec::Decoder> VideoCodec::load_decoder(Precision precision, Progress& progress) const {
  return with_element(precision, [&]<Element T>() -> std::unique_ptr<Decoder> {
    return progress.stage("load VAE decoder", 0, [&](Stage& stage) -> std::unique_ptr<Decoder> {
      stage.moved(weights_.bytes());
      return std::make_unique<LoadedDecoder<T>>(model::VaeDecoder<T, Host>(host, config_, source()));
    });
  });
}

FrameDecoder VideoCodec::load_frame_decoder(Precision precision, Progress& progress) const {
  return with_element(precision, [&]<Element T>() -> FrameDecoder {
    auto decoder = progress.stage("load VAE decoder (preview)", 0, [&](Stage& stage) {
      stage.moved(weights_.bytes());
      return std::make_shared<model::VaeDecoder<T, Host>>(host, config_, source());
    });
    return [decoder](const Latents& frame) {
      Picture picture;
      decoder->decode({frame.values.data(), 1, frame.channels, frame.shape},
                      [&](VideoView<const float> image) {
                        picture = {static_cast<int>(image.height), static_cast<int>(image.width),
                                   Buffer<float>(image.size())};
                        std::copy_n(image.data, image.size(), picture.pixels.begin());
                      });
      return picture;
    };
  });
}

VideoCodec::Moments VideoCodec::encode(const io::Video& video, Precision precision,
                                       Progress& progress) const {
  require_video_on_grid(video.shape);
  require(config_.encoder.has_value(), [&] {
    return weights_.path().string() + " has no encoder.* tensors; a VAE with both halves encodes";
  });
  const LatentShape shape = video.shape.latent();
  Moments moments{shape, Buffer<float>(shape.tokens() * latent_channels()),
                  Buffer<float>(shape.tokens() * latent_channels())};
  with_element(precision, [&]<Element T>() {
    auto encoder = progress.stage(
        "load VAE encoder", 0, [&](Stage&) { return model::VaeEncoder<T, Host>(host, config_, source()); });
    progress.stage("encode", 0, [&](Stage&) {
      const auto view = [&](const Buffer<float>& values) {
        return LatentsView<float>{values.data(), 1, latent_channels(), shape};
      };
      encoder.encode(video.view(), view(moments.mean), view(moments.log_variance));
    });
  });
  return moments;
}

}  // namespace stepvideo::pipeline
