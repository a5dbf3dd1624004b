#define BOOST_TEST_MODULE vae
#include "model/vae.hpp"

#include <omp.h>

#include "io/checkpoint.hpp"
#include "reference/vae_cases.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::model;
using testing::channels_last, testing::Collected, testing::golden, testing::StoredLatents, testing::tiny;

namespace {

/// The golden checkpoint on the host.
struct OnHost {
  static Host execution() { return host; }
  template <class T>
  VaeDecoder<T, Host> decoder() const {
    const auto files = testing::tiny();
    const auto config = VaeConfig::of(files);
    return {host, config, CheckpointSource(files, expected_tensors(config))};
  }
  template <class T>
  VaeEncoder<T, Host> encoder() const {
    const auto files = testing::tiny();
    const auto config = VaeConfig::of(files);
    return {host, config, CheckpointSource(files, expected_tensors(config))};
  }
};
const OnHost on_host;

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
  testing::decoded_videos_equal_those_of_the_release<float>(on_host);
}
BOOST_AUTO_TEST_CASE(decoded_videos_equal_those_of_the_release_in_bf16) {
  testing::decoded_videos_equal_those_of_the_release<bf16>(on_host);
}
BOOST_AUTO_TEST_CASE(every_traced_layer_equals_the_releases_in_float) {
  testing::every_traced_layer_equals_the_releases<float>(on_host);
}
BOOST_AUTO_TEST_CASE(every_traced_layer_equals_the_releases_in_bf16) {
  testing::every_traced_layer_equals_the_releases<bf16>(on_host);
}
BOOST_AUTO_TEST_CASE(moments_equal_those_of_the_release_in_float) {
  testing::moments_equal_those_of_the_release<float>(on_host);
}
BOOST_AUTO_TEST_CASE(moments_equal_those_of_the_release_in_bf16) {
  testing::moments_equal_those_of_the_release<bf16>(on_host);
}

BOOST_AUTO_TEST_CASE(frames_in_runs_get_the_bits_of_all_together_in_float) {
  testing::frames_in_runs_get_the_bits_of_all_together<float>(on_host, 6);
  testing::frames_in_runs_get_the_bits_of_all_together<float>(on_host, 1);
}
BOOST_AUTO_TEST_CASE(frames_in_runs_get_the_bits_of_all_together_in_bf16) {
  testing::frames_in_runs_get_the_bits_of_all_together<bf16>(on_host, 3);
  testing::frames_in_runs_get_the_bits_of_all_together<bf16>(on_host, 1);
}

BOOST_AUTO_TEST_CASE(pixels_of_every_format_are_those_of_the_floats) {
  testing::pixels_of_every_format_are_those_of_the_floats<float>(on_host);
}

BOOST_AUTO_TEST_CASE(memory_that_no_run_of_frames_keeps_to_is_refused_with_the_least_that_works) {
  auto decoder = on_host.decoder<float>();
  Buffer<float> values(3 * 4 * 2 * 3);
  std::ranges::fill(values, 0.5f);
  const LatentsView<const float> latents{values.data(), 1, 4, {3, 2, 3}};
  decoder.limit_memory({1000000, true});
  BOOST_CHECK_EXCEPTION(Collected().decode(decoder, latents), RequestError,
                        says("--vae-memory: the VAE's decoder may take 1 MB"));
  decoder.limit_memory({1000000, false});  // the usual limit gives way
  Collected video;
  video.decode(decoder, latents);
  BOOST_CHECK_EQUAL(video.pixels.size(), 17 * 32 * 48 * 3);
}

BOOST_AUTO_TEST_CASE(the_pipelines_latents_decode_to_its_video) {
  auto decoder = on_host.decoder<float>();
  Collected video;
  video.decode(decoder, StoredLatents("pipeline_tiny.safetensors", "final").view);
  STEPVIDEO_CHECK_CLOSE(video.pixels, channels_last("pipeline_tiny.safetensors", "video", false),
                        testing::fp32_bound);
}

BOOST_AUTO_TEST_CASE(frames_leave_as_soon_as_their_seams_are_known) {
  auto decoder = on_host.decoder<float>();
  std::mt19937 engine(41);
  const auto latents = testing::random_normal<float>(9 * 4 * 2, engine);
  Collected video;
  video.decode(decoder, {latents.data(), 1, 4, {9, 1, 2}});
  BOOST_CHECK((video.calls == std::vector<index_t>{16, 17, 18}));
}

BOOST_AUTO_TEST_CASE(an_image_encodes_to_one_latent_frame) {
  auto encoder = on_host.encoder<float>();
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
  auto encoder = on_host.encoder<float>();
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
    auto decoder = on_host.decoder<float>();
    Collected video;
    video.decode(decoder, StoredLatents("vae_tiny/decode_2chunks.safetensors", "z").view);
    results.push_back(video.pixels);
    BOOST_CHECK(results.back() == results.front());
  }
}

BOOST_AUTO_TEST_CASE(latents_that_do_not_fit_are_refused) {
  auto decoder = on_host.decoder<float>();
  Buffer<float> values(4096);
  const auto decode = [&](LatentsView<const float> latents) { Collected().decode(decoder, latents); };
  BOOST_CHECK_EXCEPTION(decode({values.data(), 1, 4, {4, 2, 2}}), RequestError,
                        says("the latents have 4 frames"));
  BOOST_CHECK_EXCEPTION(decode({values.data(), 1, 64, {3, 2, 2}}), RequestError,
                        says("the latents have 64 channels"));
  BOOST_CHECK_EXCEPTION(decode({values.data(), 2, 4, {3, 2, 2}}), RequestError, says("hold 2 videos"));
}

BOOST_AUTO_TEST_CASE(videos_off_the_grid_are_refused) {
  auto encoder = on_host.encoder<float>();
  Buffer<float> pixels(18 * 16 * 16 * 3), latents(24);
  const LatentsView<float> out{latents.data(), 1, 4, {3, 1, 1}};
  BOOST_CHECK_EXCEPTION(encoder.encode({pixels.data(), 18, 16, 16, 3}, out, out), RequestError,
                        says("off the grid"));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_something_else_is_refused) {
  const auto transformer = io::Checkpoint::open(golden + "dit_tiny");
  BOOST_CHECK_EXCEPTION(VaeConfig::of(transformer), RequestError, says("decoder.conv_in.conv.weight"));
}
