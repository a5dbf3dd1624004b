#include "pipeline/video_codec.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "io/model_folder.hpp"
#include "model/vae.hpp"
#include "pipeline/on_gpu.hpp"
#include "pipeline/placed_vae.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/ranks_on_threads.hpp"

namespace stepvideo::pipeline {
namespace {

/// What the rooms of one chunk take, and `parameters` weights beside them.
template <class BytesOf>
double bytes_beside_weights(const CodecSettings& settings, double parameters, BytesOf&& bytes_of) {
  return with_element(settings.precision, [&]<Element T>() {
    return parameters * sizeof(T) + static_cast<double>(bytes_of.template operator()<T>());
  });
}

class LoadedDecoder final : public VideoCodec::Decoder {
 public:
  explicit LoadedDecoder(std::shared_ptr<VaeDecoderModel> decoder) : decoder_(std::move(decoder)) {}

  void decode(const Latents& latents, const std::filesystem::path& output, const io::VideoOptions& options,
              Progress& progress) override {
    const VideoShape video = VideoShape::from_latent(latents.shape);
    const auto writer = io::open_video_writer(output, video, options);
    progress.stage("decode", video.chunks(), [&](Stage& stage) {
      index_t frames = 0, chunks = 0;
      const auto write = [&](const io::ReadyFrames& ready) {
        writer->append(ready);
        frames += ready.frames;
        for (; (chunks + 1) * video.frames <= frames * video.chunks(); ++chunks) stage.step();
      };
      decoder_->decode({latents.values.data(), 1, latents.channels, latents.shape}, writer->format(), write);
    });
    writer->finish();
  }

 private:
  std::shared_ptr<VaeDecoderModel> decoder_;
};

}  // namespace

VideoCodec::VideoCodec(const ModelSource& model)
    : config_(model::VaeConfig::release()), weights_{{}, model.seed} {
  if (model.folder.empty()) return;
  auto files = io::Checkpoint::open(io::find_component(model.folder, io::Component::vae));
  config_ = model::VaeConfig::of(files);  // there is no config.json: the tensors' shapes tell
  if (!model.seed) weights_.files = std::move(files);
}

void VideoCodec::require_channels(const Latents& latents) const {
  require(latents.channels == latent_channels(), [&] {
    return fmt::format(
        "the latents have {} channels and the VAE {} decodes {}; latents and VAE must belong together",
        latents.channels, weights_.name(), latent_channels());
  });
}

double VideoCodec::decode_bytes(VideoShape video, const CodecSettings& settings) const {
  LatentShape chunk = video.latent();
  chunk.frames = std::min(chunk.frames, VideoShape::chunk_latent_frames);
  const bool on_gpu = settings.place.is_gpu();
  const auto of_rooms = [&]<Element T, Element N>() {
    const auto together =
        model::vae::decoder_frames_together<T, N>(config_, chunk, on_gpu, settings.memory());
    return chunk_bytes(model::vae::DecoderRooms<T, N>::lay_out(config_, chunk, together), on_gpu);
  };
  return bytes_beside_weights(settings, parameters("decoder."), [&]<Element T>() {
    return settings.convolves_in_fp8 ? of_rooms.template operator()<T, fp8_e4m3>()
                                     : of_rooms.template operator()<T, T>();
  });
}

double VideoCodec::encode_bytes(VideoShape video, const CodecSettings& settings) const {
  require_encoder();
  video.frames = std::min(video.frames, VideoShape::chunk_frames);
  const bool on_gpu = settings.place.is_gpu();
  return bytes_beside_weights(settings, parameters("encoder."), [&]<Element T>() {
    const auto together = model::vae::encoder_frames_together<T>(config_, video, on_gpu, settings.memory());
    return chunk_bytes(model::vae::EncoderRooms<T>::lay_out(config_, video, together), on_gpu);
  });
}

double VideoCodec::parameters(const std::string& prefix) const {
  double sum = 0;
  for (const auto& tensor : model::expected_tensors(config_))
    if (tensor.name.starts_with(prefix)) sum += static_cast<double>(io::element_count(tensor.shape));
  return sum;
}

void VideoCodec::require_encoder() const {
  require(config_.encoder.has_value(),
          [&] { return weights_.name() + " has no encoder.* tensors; a VAE with both halves encodes"; });
}

std::shared_ptr<VaeChunkDecoder> VideoCodec::load(const CodecSettings& settings, int decoders,
                                                  Stage& stage) const {
  stage.moved(weights_.files.bytes());
  const PlacedVaeConfig config{config_, settings.memory(decoders), settings.convolves_in_fp8};
  if (settings.place.is_gpu())
    return load_vae_decoder_on_gpu(settings.place, settings.precision, config, weights_, stage);
  return with_element(settings.precision, [&]<Element T>() {
    return weights_.on_host(
        expected_tensors(config), false, [&](auto source) -> std::shared_ptr<VaeChunkDecoder> {
          return std::make_shared<PlacedVaeDecoder<T, Host>>(settings.place, host, config, std::move(source));
        });
  });
}

LoadVaeDecoder VideoCodec::loader(const CodecSettings& settings, int decoders) const {
  return [this, settings, decoders](int rank, Progress& progress) {
    CodecSettings own = settings;
    own.place = settings.place.of_rank(rank);
    return progress.stage("load VAE decoder", 0, [&](Stage& stage) { return load(own, decoders, stage); });
  };
}

std::unique_ptr<VideoCodec::Decoder> VideoCodec::load_decoder(const CodecSettings& settings,
                                                              Progress& progress, const Ranks& ranks) const {
  const auto load = loader(settings, ranks.decoders);
  if (ProcessRanks* const processes = process_ranks())
    return std::make_unique<LoadedDecoder>(processes->load_decoder(load, ranks, progress));
  return std::make_unique<LoadedDecoder>(ranks.decoders > 1 ? load_decoder_on_threads(load, ranks, progress)
                                                            : load(0, progress));
}

std::unique_ptr<VideoCodec::Decoder> VideoCodec::load_decoder_of_one(const CodecSettings& settings,
                                                                     int decoders, Progress& progress) const {
  return std::make_unique<LoadedDecoder>(loader(settings, decoders)(0, progress));
}

FrameDecoder VideoCodec::load_frame_decoder(const CodecSettings& settings, Progress& progress) const {
  const auto decoder =
      progress.stage("load VAE decoder (preview)", 0, [&](Stage& stage) { return load(settings, 1, stage); });
  return [decoder](const Latents& frame) {
    Picture picture;
    decoder->decode({frame.values.data(), 1, frame.channels, frame.shape}, FloatPixels{},
                    [&](const io::ReadyFrames& ready) {
                      const VideoView<const float> image = io::floats_of(ready);
                      picture = {static_cast<int>(image.height), static_cast<int>(image.width),
                                 Buffer<float>(image.size())};
                      std::copy_n(image.data, image.size(), picture.pixels.begin());
                    });
    return picture;
  };
}

LoadVaeEncoder VideoCodec::encoder_loader(const CodecSettings& settings, int encoders) const {
  const PlacedVaeConfig config{config_, settings.memory(encoders)};
  return [this, settings, config](Progress& progress) {
    return progress.stage("load VAE encoder", 0, [&](Stage& stage) -> std::shared_ptr<VaeEncoderModel> {
      if (settings.place.is_gpu())
        return load_vae_encoder_on_gpu(settings.place, settings.precision, config, weights_, stage);
      return with_element(settings.precision, [&]<Element T>() {
        return weights_.on_host(expected_tensors(config), false,
                                [&](auto source) -> std::shared_ptr<VaeEncoderModel> {
                                  return std::make_shared<PlacedVaeEncoder<T, Host>>(
                                      settings.place, host, config, std::move(source));
                                });
      });
    });
  };
}

VideoCodec::Moments VideoCodec::encode(const io::Video& video, const CodecSettings& settings,
                                       Progress& progress, const Ranks& ranks) const {
  require_video_on_grid(video.shape);
  require_encoder();
  const LatentShape shape = video.shape.latent();
  Moments moments{shape, Buffer<float>(shape.tokens() * latent_channels()),
                  Buffer<float>(shape.tokens() * latent_channels())};
  const auto view = [&](const Buffer<float>& values) {
    return LatentsView<float>{values.data(), 1, latent_channels(), shape};
  };
  const LoadVaeEncoder load = encoder_loader(settings, ranks.decoders);
  if (ProcessRanks* const processes = process_ranks()) {
    processes->encode(load, video.view(), view(moments.mean), view(moments.log_variance), ranks, progress);
    return moments;
  }
  const auto encoder = load(progress);
  progress.stage("encode", 0, [&](Stage&) {
    encoder->encode(video.view(), view(moments.mean), view(moments.log_variance));
  });
  return moments;
}

}  // namespace stepvideo::pipeline
