// The memory of the VAE: what the plan counts is what the networks run in.
#define BOOST_TEST_MODULE vae_rooms
#include "model/vae_rooms.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "io/checkpoint.hpp"
#include "model/vae.hpp"
#include "plan/cost_model.hpp"
#include "plan/model_work.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::model;

namespace {

io::Checkpoint tiny() {
  return io::Checkpoint::open(STEPVIDEO_TEST_DATA "/golden/vae_tiny/vae_v2.safetensors");
}

/// The bytes of a video, as [first, last).
template <class T>
std::pair<std::uintptr_t, std::uintptr_t> bytes_of(const VideoView<T>& video) {
  const auto first = reinterpret_cast<std::uintptr_t>(video.data);
  return {first, first + static_cast<std::uintptr_t>(video.size()) * sizeof(T)};
}

/// Fails unless these, which are alive together, lie apart and inside the slab.
class Neighbours {
 public:
  explicit Neighbours(const Buffer<std::byte>& slab)
      : first_(reinterpret_cast<std::uintptr_t>(slab.data())), last_(first_ + slab.size_bytes()) {}

  template <class... T>
  void check(const std::string& layer, const VideoView<T>&... videos) const {
    const std::vector spans{bytes_of(videos)...};
    for (std::size_t i = 0; i < spans.size(); ++i) {
      BOOST_CHECK_MESSAGE(first_ <= spans[i].first && spans[i].second <= last_,
                          layer << ": video " << i << " leaves the slab");
      for (std::size_t j = 0; j < i; ++j)
        BOOST_CHECK_MESSAGE(spans[i].second <= spans[j].first || spans[j].second <= spans[i].first,
                            layer << ": videos " << j << " and " << i << " overlap");
    }
  }
  template <class T>
  void check(const std::string& layer, const vae::ResidualRooms<T>& at) const {
    check(layer, at.in, at.hidden, at.normed_in);
    check(layer, at.hidden, at.normed);
    check(layer, at.out, at.normed);
  }
  template <class T>
  void check(const vae::MiddleRooms<T>& at) const {
    check("block_1", at.block_1);
    check("attention", at.attention.stream, at.attention.packed, at.attention.normed);
    check("attention", at.attention.stream, at.attention.packed, at.attention.attended);
    check("block_2", at.block_2);
  }

 private:
  std::uintptr_t first_, last_;
};

template <class T>
void check_decoder(const VaeConfig& config, LatentShape chunk) {
  using Rooms = vae::DecoderRooms<T>;
  const Buffer<std::byte> slab(static_cast<index_t>(Rooms::lay_out(config, chunk).bytes));
  const Rooms at = Rooms::lay_out(config, chunk, {slab.data(), slab.size_bytes()});
  BOOST_CHECK_EQUAL(at.bytes, slab.size_bytes());
  const Neighbours neighbours(slab);
  neighbours.check("conv_in", at.latents, at.repeated, at.stem);
  neighbours.check("conv_unpatchify", at.stem, at.patches, at.shuffled);
  neighbours.check(at.middle);
  for (int level = 0; level < VaeConfig::levels; ++level) {
    for (const auto& block : at.levels[level]) neighbours.check("level " + std::to_string(level), block);
    if (level < 2) continue;
    const auto& doubled = at.volume_upsamples[level - 2];
    neighbours.check("upsample " + std::to_string(level), doubled.in, doubled.out, doubled.normed);
  }
  neighbours.check("upsample 1", at.narrow, at.widened);
  neighbours.check("conv_out", at.last, at.normed, at.pixels);
  // One byte less is noticed.
  testing::check_refused(
      [&] {
        Rooms::lay_out(config, chunk, {slab.data(), slab.size_bytes() - 64});
      },
      {"the VAE's slab has", "count it for the same chunk and element"});
}

template <class T>
void check_encoder(const VaeConfig& config, VideoShape chunk) {
  using Rooms = vae::EncoderRooms<T>;
  const Buffer<std::byte> slab(static_cast<index_t>(Rooms::lay_out(config, chunk).bytes));
  const Rooms at = Rooms::lay_out(config, chunk, {slab.data(), slab.size_bytes()});
  BOOST_CHECK_EQUAL(at.bytes, slab.size_bytes());
  const Neighbours neighbours(slab);
  for (int level = 0; level < VaeConfig::levels; ++level) {
    for (const auto& block : at.levels[level]) neighbours.check("level " + std::to_string(level), block);
    if (level < 3) neighbours.check("downsample", at.whole[level], at.halved[level]);
  }
  neighbours.check(at.middle);
  neighbours.check("patchify", at.last, at.narrow, at.patches);
  neighbours.check("conv_out", at.patches, at.moments);
}

/// Decodes random latents of `video` and compares the memory they took with the plan's.
template <class T>
void check_planned_bytes(VideoShape video) {
  VaeDecoder<T, Host> decoder(host, tiny());
  const LatentShape shape = video.latent();
  std::mt19937 engine(71);
  const auto latents = testing::random_normal<float>(shape.tokens() * 4, engine);
  decoder.decode({latents.data(), 1, 4, shape}, [](VideoView<const float>) {});
  BOOST_CHECK_EQUAL(static_cast<double>(decoder.room_bytes()),
                    plan::decode_activation_bytes(decoder.config(), video, sizeof(T)));
}

}  // namespace

BOOST_AUTO_TEST_CASE(videos_that_are_alive_together_lie_apart) {
  // Levels that widen, narrow and stay: every way for the stream to change ends.
  const VaeConfig config = VaeConfig::of(tiny());
  for (const LatentShape chunk : {LatentShape{3, 2, 3}, LatentShape{1, 1, 1}}) {
    check_decoder<float>(config, chunk);
    check_decoder<bf16>(config, chunk);
  }
  for (const VideoShape chunk : {VideoShape{17, 32, 48}, VideoShape{1, 16, 16}}) {
    check_encoder<float>(config, chunk);
    check_encoder<bf16>(config, chunk);
  }
}

BOOST_AUTO_TEST_CASE(a_decode_takes_the_bytes_that_the_plan_counts) {
  check_planned_bytes<float>({34, 32, 48});
  check_planned_bytes<bf16>({34, 32, 48});
  check_planned_bytes<float>({1, 32, 16});
  check_planned_bytes<bf16>({17, 16, 16});
}

BOOST_AUTO_TEST_CASE(the_plans_phase_holds_those_bytes_and_the_latents) {
  const plan::Request request{.video = {204, 544, 992}, .hardware = plan::load_hardware("h200")};
  const plan::Cost cost = plan::cost_of(request, {});
  const auto* decode = cost.phase("decode");
  BOOST_REQUIRE(decode != nullptr);
  const double rooms =
      static_cast<double>(vae::DecoderRooms<bf16>::lay_out(request.shapes.vae, LatentShape{3, 34, 62}).bytes);
  BOOST_CHECK_EQUAL(decode->activation_bytes, rooms + 36.0 * 34 * 62 * 64 * sizeof(float));
}

BOOST_AUTO_TEST_CASE(the_releases_chunk_takes_as_much_work_and_memory_as_is_known) {
  const VideoShape chunk{17, 544, 992};
  const auto work = plan::decode_work(VaeConfig::release(), chunk);
  // 271 TFLOP with the doubled videos convolved as they are.
  BOOST_CHECK_CLOSE(work.convolution_flops, 234e12, 0.5);
  BOOST_CHECK_CLOSE(plan::decode_activation_bytes(VaeConfig::release(), chunk, 2), 22.1e9, 1);
}
