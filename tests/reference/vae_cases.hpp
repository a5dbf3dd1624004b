// The video VAE against the release's results, and against itself, on any execution. `On` makes the golden
// checkpoint's decoder and encoder.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "io/checkpoint.hpp"
#include "model/seams_on_host.hpp"
#include "model/vae_decoder.hpp"
#include "model/vae_encoder.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

using namespace stepvideo::model;

inline const std::string golden = STEPVIDEO_TEST_DATA "/golden/";

inline io::Checkpoint tiny() {
  return io::Checkpoint::open(golden + "vae_tiny/vae_v2.safetensors");
}

template <class T>
constexpr double bound = std::same_as<T, float> ? fp32_bound : bf16_bound;

/// A tensor (1, frames, channels, height, width) as the sampler keeps it.
struct StoredLatents {
  Buffer<float> values;
  LatentsView<const float> view;

  StoredLatents(const std::string& file, const std::string& name) {
    const auto checkpoint = io::Checkpoint::open(golden + file);
    values = checkpoint.load<float>(name);
    const auto& shape = checkpoint.at(name).shape;
    view = {values.data(),
            1,
            shape[2],
            {static_cast<int>(shape[1]), static_cast<int>(shape[3]), static_cast<int>(shape[4])}};
  }
};

/// (1, frames, 3, height, width) to (frames, height, width, 3), or (1, channels, frames, height, width) to
/// (frames, height, width, channels).
inline std::vector<float> channels_last(const std::string& file, const std::string& name,
                                        bool channels_come_first) {
  const auto checkpoint = io::Checkpoint::open(golden + file);
  const auto values = checkpoint.load<float>(name);
  auto shape = checkpoint.at(name).shape;
  const index_t channels = channels_come_first ? shape[1] : shape[2],
                frames = channels_come_first ? shape[2] : shape[1];
  const index_t plane = shape[3] * shape[4];
  std::vector<float> result;
  for (index_t f = 0; f < frames; ++f)
    for (index_t i = 0; i < plane; ++i)
      for (index_t c = 0; c < channels; ++c)
        result.push_back(values[(channels_come_first ? c * frames + f : f * channels + c) * plane + i]);
  return result;
}

/// All frames of a decoded video, and how many came with each call.
struct Collected {
  std::vector<float> pixels;
  std::vector<index_t> calls;

  template <class Decoder>
  void decode(Decoder& decoder, LatentsView<const float> latents) {
    decoder.decode(latents, FloatPixels{}, [this](const io::ReadyFrames& ready) {
      const VideoView<const float> frames = io::floats_of(ready);
      pixels.insert(pixels.end(), frames.data, frames.data + frames.size());
      calls.push_back(frames.frames);
    });
  }
};

/// Every named layer's result, runs of frames joined.
struct Seen final : vae::Observer {
  std::map<std::string, std::vector<float>> results;

  bool wants_results() const override { return true; }
  void result(const std::string& layer, VideoView<const float> video) override {
    auto& values = results[layer];
    values.insert(values.end(), video.data, video.data + video.size());
  }
};

/// Latents where `on` decodes them.
template <class On>
class PlacedLatents {
 public:
  PlacedLatents(const On& on, const Buffer<float>& values, index_t channels, LatentShape shape)
      : values_(place(on.execution(), values)), view_{values_.data(), 1, channels, shape} {}
  PlacedLatents(const On& on, const StoredLatents& stored)
      : PlacedLatents(on, stored.values, stored.view.channels, stored.view.shape) {}
  LatentsView<const float> view() const { return view_; }

 private:
  Buffer<float, decltype(std::declval<const On&>().execution())> values_;
  LatentsView<const float> view_;
};

/// Mean and log-variance, one behind the other, of `pixels` encoded by `encoder`.
template <class On, class Encoder>
Buffer<float> encoded(const On& on, Encoder& encoder, VideoShape video, const Buffer<float>& pixels) {
  const LatentShape shape = video.latent();
  const index_t channels = encoder.config().latent_channels, size = channels * shape.tokens();
  const auto placed = place(on.execution(), pixels),
             moments = place(on.execution(), poisoned<float>(2 * size));
  encoder.encode({placed.data(), video.frames, video.height, video.width, 3},
                 {moments.data(), 1, channels, shape}, {moments.data() + size, 1, channels, shape});
  return fetch(on.execution(), moments);
}

template <class T, class On>
void decoded_videos_equal_those_of_the_release(const On& on) {
  auto decoder = on.template decoder<T>();
  for (const std::string name : {"decode_1chunk", "decode_2chunks", "decode_image", "decode_1chunk"}) {
    BOOST_TEST_CONTEXT(name) {
      const std::string file = "vae_tiny/" + name + ".safetensors";
      Collected video;
      video.decode(decoder, PlacedLatents<On>(on, StoredLatents(file, "z")).view());
      STEPVIDEO_CHECK_CLOSE(video.pixels, channels_last(file, "video", false), bound<T>);
    }
  }
}

template <class T, class On>
void every_traced_layer_equals_the_releases(const On& on) {
  auto decoder = on.template decoder<T>();
  Seen seen;
  decoder.observe(&seen);
  const std::string file = "vae_tiny/decode_1chunk.safetensors";
  Collected().decode(decoder, PlacedLatents<On>(on, StoredLatents(file, "z")).view());
  int compared = 0;
  const auto stored = io::Checkpoint::open(golden + file);
  for (const auto& [name, record] : stored.tensors()) {
    if (!name.starts_with("trace.")) continue;
    BOOST_TEST_CONTEXT(name)
    STEPVIDEO_CHECK_CLOSE(seen.results[name.substr(6)], channels_last(file, name, true), bound<T>);
    ++compared;
  }
  BOOST_CHECK_EQUAL(compared, 6);
}

template <class T, class On>
void moments_equal_those_of_the_release(const On& on) {
  const std::string file = "vae_tiny/encode_1chunk.safetensors";
  auto encoder = on.template encoder<T>();
  const std::vector<float> values = channels_last(file, "video", false);
  Buffer<float> pixels(std::ssize(values));
  std::ranges::copy(values, pixels.begin());
  const StoredLatents mean(file, "mean"), log_variance(file, "logvar");
  const auto moments = encoded(on, encoder, {17, 32, 48}, pixels);
  const auto half = moments.begin() + moments.size() / 2;
  STEPVIDEO_CHECK_CLOSE(std::vector<float>(moments.begin(), half), mean.values, bound<T>);
  STEPVIDEO_CHECK_CLOSE(std::vector<float>(half, moments.end()), log_variance.values, bound<T>);
}

/// The bytes of a video decoded as `format`, or by two who deal its chunks out and leave the seams.
template <class Decoder>
std::vector<std::uint8_t> decoded_bytes(Decoder& decoder, LatentsView<const float> latents,
                                        const io::PixelFormat& format, bool dealt) {
  std::vector<std::uint8_t> bytes;
  const auto collect = [&](const io::ReadyFrames& frames) {
    bytes.insert(bytes.end(), frames.data, frames.data + frames.size());
    BOOST_CHECK(std::all_of(frames.marks, frames.marks + frames.frames, [](int mark) { return mark == 0; }));
  };
  if (!dealt) {
    decoder.decode(latents, format, collect);
    return bytes;
  }
  // In the order of the chunks, from where each one's memory was kept.
  const VideoShape video = VideoShape::from_latent(latents.shape);
  std::vector<std::vector<std::uint8_t>> memory(static_cast<std::size_t>(video.chunks()));
  for (const int first : {0, 1})
    decoder.decode_chunks(latents, {first, 2}, format, [&](const DecodedChunk& chunk) {
      memory.at(static_cast<std::size_t>(chunk.number))
          .assign(chunk.memory.data, chunk.memory.data + chunk.memory.size);
    });
  SeamsOnHost seams(format);
  for (int number = 0; number < video.chunks(); ++number)
    seams.pass(DecodedChunkRooms{video, {0, 2}, format}.lay_out(
                   number, memory[static_cast<std::size_t>(number)].data()),
               collect);
  return bytes;
}

/// What leaves as pixels is what the host makes of the same frames when they leave as floats.
template <class T, class On>
void pixels_of_every_format_are_those_of_the_floats(const On& on) {
  std::mt19937 engine(46);
  for (const int latent_frames : {9, 1}) {
    const LatentShape shape{latent_frames, 1, 2};
    const PlacedLatents<On> latents(on, random_normal<float>(shape.tokens() * 4, engine), 4, shape);
    auto decoder = on.template decoder<T>();
    Collected floats;
    floats.decode(decoder, latents.view());
    const VideoShape video = VideoShape::from_latent(shape);
    const VideoView<const float> frames{floats.pixels.data(), video.frames, video.height, video.width, 3};
    BOOST_REQUIRE_EQUAL(static_cast<index_t>(floats.pixels.size()), frames.size());
    for (const io::PixelFormat& format :
         {io::PixelFormat(FloatPixels{}), io::PixelFormat(RgbPixels{}),
          io::PixelFormat(YuvPixels<1>{YuvMatrix::bt709()}), io::PixelFormat(YuvPixels<2>{})}) {
      const io::PixelBuffer expected(format, video.frames, video.height, video.width);
      io::write_pixels(host, frames, format, expected.view());
      for (const bool dealt : {false, true}) {
        const auto bytes = decoded_bytes(decoder, latents.view(), format, dealt);
        BOOST_CHECK_MESSAGE(
            std::ranges::equal(
                bytes, std::span(expected.view().data, static_cast<std::size_t>(expected.view().size()))),
            latent_frames << " latent frames, format " << format.index() << (dealt ? ", dealt to two" : ""));
      }
    }
  }
}

/// Decoded and encoded in as little memory as each number of frames together takes, and all at once.
template <class T, class On>
void frames_in_runs_get_the_bits_of_all_together(const On& on, int latent_frames) {
  constexpr bool on_gpu = !std::same_as<decltype(on.execution()), Host>;
  const LatentShape shape{latent_frames, 2, 3};
  const VideoShape video = VideoShape::from_latent(shape);
  std::mt19937 engine(44);
  const PlacedLatents<On> latents(on, random_normal<float>(shape.tokens() * 4, engine), 4, shape);
  const auto pixels = random_normal<float>(index_t{video.frames} * video.height * video.width * 3, engine);
  const auto decode = [&](auto& decoder) {
    Collected frames;
    frames.decode(decoder, latents.view());
    return frames.pixels;
  };
  auto whole_decoder = on.template decoder<T>();
  auto whole_encoder = on.template encoder<T>();
  const auto frames = decode(whole_decoder);
  const auto moments = encoded(on, whole_encoder, video, pixels);
  const LatentShape chunk{std::min(latent_frames, 3), 2, 3};
  const VideoShape video_chunk{std::min(video.frames, 17), video.height, video.width};
  for (const index_t together : {1, 6}) {
    BOOST_TEST_CONTEXT(together << " frames together") {
      auto decoder = on.template decoder<T>();
      const auto bytes =
          vae::chunk_bytes(vae::DecoderRooms<T>::lay_out(decoder.config(), chunk, together), on_gpu);
      decoder.limit_memory({bytes, true});
      BOOST_CHECK(decode(decoder) == frames);
      BOOST_CHECK_LE(decoder.room_bytes(), bytes);
      if (latent_frames > 1)  // an image takes the most before the last doubling
        BOOST_CHECK_LT(decoder.room_bytes(), whole_decoder.room_bytes());

      auto encoder = on.template encoder<T>();
      const auto encoder_bytes =
          vae::chunk_bytes(vae::EncoderRooms<T>::lay_out(encoder.config(), video_chunk, together), on_gpu);
      encoder.limit_memory({encoder_bytes, true});
      BOOST_CHECK(same_bits(encoded(on, encoder, video, pixels), moments));
      BOOST_CHECK_LE(encoder.room_bytes(), encoder_bytes);
    }
  }
}

}  // namespace stepvideo::testing
