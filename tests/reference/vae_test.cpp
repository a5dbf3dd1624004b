#define BOOST_TEST_MODULE vae
#include "model/vae.hpp"

#include <map>

#include <omp.h>

#include "io/checkpoint.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::model;

namespace {

const std::string golden = STEPVIDEO_TEST_DATA "/golden/";

io::Checkpoint tiny() {
  return io::Checkpoint::open(golden + "vae_tiny/vae_v2.safetensors");
}

template <class T>
VaeDecoder<T, Host> tiny_decoder() {
  const auto files = tiny();
  const auto config = VaeConfig::of(files);
  return {host, config, CheckpointSource(files, expected_tensors(config))};
}
template <class T>
VaeEncoder<T, Host> tiny_encoder() {
  const auto files = tiny();
  const auto config = VaeConfig::of(files);
  return {host, config, CheckpointSource(files, expected_tensors(config))};
}

template <class T>
constexpr double bound = std::same_as<T, float> ? testing::fp32_bound : testing::bf16_bound;

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
std::vector<float> channels_last(const std::string& file, const std::string& name, bool channels_come_first) {
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

  auto collect() {
    return [this](VideoView<const float> frames) {
      pixels.insert(pixels.end(), frames.data, frames.data + frames.size());
      calls.push_back(frames.frames);
    };
  }
};

template <class T>
void check_decodes() {
  auto decoder = tiny_decoder<T>();
  for (const std::string name : {"decode_1chunk", "decode_2chunks", "decode_image", "decode_1chunk"}) {
    BOOST_TEST_CONTEXT(name) {
      const std::string file = "vae_tiny/" + name + ".safetensors";
      Collected video;
      decoder.decode(StoredLatents(file, "z").view, video.collect());
      STEPVIDEO_CHECK_CLOSE(video.pixels, channels_last(file, "video", false), bound<T>);
    }
  }
}

/// Every named layer's result, runs of frames joined.
struct Seen final : vae::Observer {
  std::map<std::string, std::vector<float>> results;

  bool wants_results() const override { return true; }
  void result(const std::string& layer, VideoView<const float> video) override {
    auto& values = results[layer];
    values.insert(values.end(), video.data, video.data + video.size());
  }
};

template <class T>
void check_traces() {
  auto decoder = tiny_decoder<T>();
  Seen seen;
  decoder.observe(&seen);
  const std::string file = "vae_tiny/decode_1chunk.safetensors";
  decoder.decode(StoredLatents(file, "z").view, [](VideoView<const float>) {});
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

template <class T>
void check_encode() {
  const std::string file = "vae_tiny/encode_1chunk.safetensors";
  auto encoder = tiny_encoder<T>();
  const std::vector<float> pixels = channels_last(file, "video", false);
  const StoredLatents mean(file, "mean"), log_variance(file, "logvar");
  auto means = testing::poisoned<float>(mean.values.size()),
       log_variances = testing::poisoned<float>(mean.values.size());
  const LatentShape shape{3, 2, 3};
  encoder.encode({pixels.data(), 17, 32, 48, 3}, {means.data(), 1, 4, shape},
                 {log_variances.data(), 1, 4, shape});
  STEPVIDEO_CHECK_CLOSE(means, mean.values, bound<T>);
  STEPVIDEO_CHECK_CLOSE(log_variances, log_variance.values, bound<T>);
}

/// Decoded and encoded in as little memory as each number of frames together takes, and all at once.
template <class T>
void check_runs_of_frames(int latent_frames) {
  const LatentShape shape{latent_frames, 2, 3};
  const VideoShape video = VideoShape::from_latent(shape);
  std::mt19937 engine(44);
  const auto latents = testing::random_normal<float>(shape.tokens() * 4, engine);
  const auto pixels =
      testing::random_normal<float>(index_t{video.frames} * video.height * video.width * 3, engine);
  const auto decode = [&](VaeDecoder<T, Host>& decoder) {
    Collected frames;
    decoder.decode({latents.data(), 1, 4, shape}, frames.collect());
    return frames.pixels;
  };
  const auto encode = [&](VaeEncoder<T, Host>& encoder) {
    auto moments = testing::poisoned<float>(2 * shape.tokens() * 4);
    encoder.encode({pixels.data(), video.frames, video.height, video.width, 3}, {moments.data(), 1, 4, shape},
                   {moments.data() + shape.tokens() * 4, 1, 4, shape});
    return std::vector<float>(moments.begin(), moments.end());
  };
  auto whole_decoder = tiny_decoder<T>();
  auto whole_encoder = tiny_encoder<T>();
  const auto frames = decode(whole_decoder), moments = encode(whole_encoder);
  const LatentShape chunk{std::min(latent_frames, 3), 2, 3};
  const VideoShape video_chunk{std::min(video.frames, 17), video.height, video.width};
  for (const index_t together : {1, 2, 6}) {
    BOOST_TEST_CONTEXT(together << " frames together") {
      auto decoder = tiny_decoder<T>();
      const auto rooms = vae::DecoderRooms<T>::lay_out(decoder.config(), chunk, together);
      decoder.limit_memory({rooms.bytes, true});
      BOOST_CHECK(decode(decoder) == frames);
      BOOST_CHECK_LE(decoder.room_bytes(), rooms.bytes);
      if (latent_frames > 1)  // an image takes the most before the last doubling
        BOOST_CHECK_LT(decoder.room_bytes(), whole_decoder.room_bytes());

      auto encoder = tiny_encoder<T>();
      const auto encoder_rooms = vae::EncoderRooms<T>::lay_out(encoder.config(), video_chunk, together);
      encoder.limit_memory({encoder_rooms.bytes, true});
      BOOST_CHECK(encode(encoder) == moments);
      BOOST_CHECK_LE(encoder.room_bytes(), encoder_rooms.bytes);
    }
  }
}

auto says(const std::string& text) {
  return
      [text](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; };
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_releases_tensors_have_the_known_hash) {
  BOOST_CHECK_EQUAL(io::tensor_list_hash(expected_tensors(VaeConfig::release())),
                    "68beaf8429b7c11aa8ca05b1bd0058bd");
}

BOOST_AUTO_TEST_CASE(widths_and_depths_are_read_from_the_shapes) {
  const VaeConfig config = VaeConfig::of(tiny());
  BOOST_CHECK_EQUAL(config.latent_channels, 4);
  BOOST_CHECK_EQUAL(config.decoder.stem_width, 128);
  BOOST_CHECK((config.decoder.up.widths == std::array<index_t, 4>{32, 32, 64, 32}));
  BOOST_CHECK((config.decoder.up.blocks == std::array{2, 2, 2, 2}));
  BOOST_REQUIRE(config.encoder.has_value());
  BOOST_CHECK((config.encoder->down.widths == std::array<index_t, 4>{32, 64, 32, 32}));
  BOOST_CHECK((config.encoder->down.blocks == std::array{1, 1, 1, 1}));
}

BOOST_AUTO_TEST_CASE(decoded_videos_equal_those_of_the_release_in_float) {
  check_decodes<float>();
}
BOOST_AUTO_TEST_CASE(decoded_videos_equal_those_of_the_release_in_bf16) {
  check_decodes<bf16>();
}
BOOST_AUTO_TEST_CASE(every_traced_layer_equals_the_releases_in_float) {
  check_traces<float>();
}
BOOST_AUTO_TEST_CASE(every_traced_layer_equals_the_releases_in_bf16) {
  check_traces<bf16>();
}
BOOST_AUTO_TEST_CASE(moments_equal_those_of_the_release_in_float) {
  check_encode<float>();
}
BOOST_AUTO_TEST_CASE(moments_equal_those_of_the_release_in_bf16) {
  check_encode<bf16>();
}

BOOST_AUTO_TEST_CASE(frames_in_runs_get_the_bits_of_all_together_in_float) {
  check_runs_of_frames<float>(6);
  check_runs_of_frames<float>(1);
}
BOOST_AUTO_TEST_CASE(frames_in_runs_get_the_bits_of_all_together_in_bf16) {
  check_runs_of_frames<bf16>(6);
  check_runs_of_frames<bf16>(1);
}

BOOST_AUTO_TEST_CASE(memory_that_no_run_of_frames_keeps_to_is_refused_with_the_least_that_works) {
  auto decoder = tiny_decoder<float>();
  Buffer<float> values(3 * 4 * 2 * 3);
  std::ranges::fill(values, 0.5f);
  const LatentsView<const float> latents{values.data(), 1, 4, {3, 2, 3}};
  decoder.limit_memory({1000000, true});
  BOOST_CHECK_EXCEPTION(decoder.decode(latents, [](VideoView<const float>) {}), RequestError,
                        says("--vae-memory: the VAE's decoder may take 1 MB"));
  decoder.limit_memory({1000000, false});  // the usual limit gives way
  Collected video;
  decoder.decode(latents, video.collect());
  BOOST_CHECK_EQUAL(video.pixels.size(), 17 * 32 * 48 * 3);
}

BOOST_AUTO_TEST_CASE(the_pipelines_latents_decode_to_its_video) {
  auto decoder = tiny_decoder<float>();
  Collected video;
  decoder.decode(StoredLatents("pipeline_tiny.safetensors", "final").view, video.collect());
  STEPVIDEO_CHECK_CLOSE(video.pixels, channels_last("pipeline_tiny.safetensors", "video", false),
                        testing::fp32_bound);
}

BOOST_AUTO_TEST_CASE(frames_leave_as_soon_as_their_seams_are_known) {
  auto decoder = tiny_decoder<float>();
  std::mt19937 engine(41);
  const auto latents = testing::random_normal<float>(9 * 4 * 2, engine);
  Collected video;
  decoder.decode({latents.data(), 1, 4, {9, 1, 2}}, video.collect());
  BOOST_CHECK((video.calls == std::vector<index_t>{16, 1, 16, 1, 17}));
}

BOOST_AUTO_TEST_CASE(a_seam_draws_its_two_frames_together) {
  std::vector<float> first(17, 1.0f), second(17, 2.0f);
  Collected video;
  VaeSeam seam;
  seam.join({first.data(), 17, 1, 1, 1}, false, video.collect());
  seam.join({second.data(), 17, 1, 1, 1}, true, video.collect());
  std::vector<double> expected(34, 1.0);
  std::fill(expected.begin() + 17, expected.end(), 2.0);
  expected[17] = 0.6 * 2 + 0.4 * 1;
  expected[16] = 0.6 * 1 + 0.4 * expected[17];
  STEPVIDEO_CHECK_CLOSE(video.pixels, expected, 1e-7);
}

BOOST_AUTO_TEST_CASE(an_image_encodes_to_one_latent_frame) {
  auto encoder = tiny_encoder<float>();
  std::mt19937 engine(42);
  const auto pixels = testing::random_normal<float>(16 * 32 * 3, engine);
  auto mean = testing::poisoned<float>(4 * 2), log_variance = testing::poisoned<float>(4 * 2);
  const LatentShape shape{1, 1, 2};
  encoder.encode({pixels.data(), 1, 16, 32, 3}, {mean.data(), 1, 4, shape},
                 {log_variance.data(), 1, 4, shape});
  for (const auto& values : {&mean, &log_variance})
    for (float value : *values) BOOST_CHECK(std::isfinite(value));
}

BOOST_AUTO_TEST_CASE(chunks_are_encoded_independently) {
  auto encoder = tiny_encoder<float>();
  std::mt19937 engine(43);
  const index_t chunk = 17 * 16 * 16 * 3;
  const auto pixels = testing::random_normal<float>(2 * chunk, engine);
  auto both = testing::poisoned<float>(24), both_variances = testing::poisoned<float>(24);
  auto second = testing::poisoned<float>(12), second_variances = testing::poisoned<float>(12);
  encoder.encode({pixels.data(), 34, 16, 16, 3}, {both.data(), 1, 4, {6, 1, 1}},
                 {both_variances.data(), 1, 4, {6, 1, 1}});
  encoder.encode({pixels.data() + chunk, 17, 16, 16, 3}, {second.data(), 1, 4, {3, 1, 1}},
                 {second_variances.data(), 1, 4, {3, 1, 1}});
  BOOST_CHECK(std::equal(second.begin(), second.end(), both.begin() + 12));
  BOOST_CHECK(std::equal(second_variances.begin(), second_variances.end(), both_variances.begin() + 12));
}

BOOST_AUTO_TEST_CASE(decoding_does_not_depend_on_the_number_of_threads) {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    auto decoder = tiny_decoder<float>();
    Collected video;
    decoder.decode(StoredLatents("vae_tiny/decode_2chunks.safetensors", "z").view, video.collect());
    results.push_back(video.pixels);
    BOOST_CHECK(results.back() == results.front());
  }
}

BOOST_AUTO_TEST_CASE(latents_that_do_not_fit_are_refused) {
  auto decoder = tiny_decoder<float>();
  Buffer<float> values(4096);
  const auto decode = [&](LatentsView<const float> latents) {
    decoder.decode(latents, [](VideoView<const float>) {});
  };
  BOOST_CHECK_EXCEPTION(decode({values.data(), 1, 4, {4, 2, 2}}), RequestError,
                        says("the latents have 4 frames"));
  BOOST_CHECK_EXCEPTION(decode({values.data(), 1, 64, {3, 2, 2}}), RequestError,
                        says("the latents have 64 channels"));
  BOOST_CHECK_EXCEPTION(decode({values.data(), 2, 4, {3, 2, 2}}), RequestError, says("hold 2 videos"));
}

BOOST_AUTO_TEST_CASE(videos_off_the_grid_are_refused) {
  auto encoder = tiny_encoder<float>();
  Buffer<float> pixels(18 * 16 * 16 * 3), latents(24);
  const LatentsView<float> out{latents.data(), 1, 4, {3, 1, 1}};
  BOOST_CHECK_EXCEPTION(encoder.encode({pixels.data(), 18, 16, 16, 3}, out, out), RequestError,
                        says("off the grid"));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_something_else_is_refused) {
  const auto transformer = io::Checkpoint::open(golden + "dit_tiny");
  BOOST_CHECK_EXCEPTION(VaeConfig::of(transformer), RequestError, says("decoder.conv_in.conv.weight"));
}
