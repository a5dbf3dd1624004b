// The memory of the VAE: what the plan counts is what the networks run in.
#define BOOST_TEST_MODULE vae_rooms
#include "model/vae_rooms.hpp"

#include <algorithm>
#include <concepts>
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

/// A run's frames together with the room before them, as many as the past has.
template <class T>
VideoView<T> with_past(VideoView<T> fresh, const VideoView<T>& past) {
  fresh.data -= past.frames * fresh.height * fresh.width * fresh.channels;
  fresh.frames += past.frames;
  return fresh;
}

/// Fails unless these, which are alive together, lie apart and inside the slab.
class Neighbours {
 public:
  Neighbours(const Buffer<std::byte>& slab, const vae::NormScratch& scratch)
      : scratch_(scratch),
        first_(reinterpret_cast<std::uintptr_t>(slab.data())),
        last_(first_ + slab.size_bytes()) {}

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
    at.in.visit([&](auto in) {
      check(layer, in, at.hidden, with_past(at.normed_in, at.past_in));
      check(layer, in, at.hidden, with_past(at.normed, at.past));
      if (at.has_shortcut()) check(layer, in, at.sum, with_past(at.normed, at.past));
    });
    at.out.visit([&](auto out) { check(layer, out, with_past(at.normed, at.past)); });
    check_norm(layer, at.normed_in);
    check_norm(layer, at.normed);
    if (at.out.is_narrow()) check(layer, at.out.narrow, at.sum);
    if (at.past.frames > 0) check(layer, at.past_in, at.past, with_past(at.normed_in, at.past_in));
  }
  /// A norm of this video finds the scratch that it asks for.
  template <class T>
  void check_norm(const std::string& layer, const VideoView<T>& video) const {
    const auto needed = vae::NormScratch::of(video);
    BOOST_CHECK_MESSAGE(needed.norms <= scratch_.norms && needed.moments <= scratch_.moments,
                        layer << ": a norm of " << shape_text(video) << " finds too little scratch");
  }
  template <class T>
  void check(const vae::MiddleRooms<T>& at) const {
    check("block_1", at.block_1);
    check("attention", at.attention.stream, at.attention.packed, at.attention.normed);
    check("attention", at.attention.stream, at.attention.packed, at.attention.attended);
    check("block_2", at.block_2);
    check_norm("attention", at.attention.stream);
  }
  template <class T>
  void check(const vae::VolumeUpsampleRooms<T>& at) const {
    check_norm("upsample", at.normed);
    check("upsample", at.in, at.hidden, with_past(at.normed, at.past));
    if (at.past.frames > 0) check("upsample", at.past, at.hidden, with_past(at.normed, at.past));
    at.out.visit([&](auto out) { check("upsample", out, at.in, with_past(at.normed, at.past)); });
    if (at.out.is_narrow() || std::same_as<T, float>) return;
    check("upsample", at.out.wide, at.hidden);  // the last norm reads one and writes the other
  }

 private:
  vae::NormScratch scratch_;
  std::uintptr_t first_, last_;
};

template <class T>
void check_decoder(const VaeConfig& config, LatentShape chunk, index_t together) {
  using Rooms = vae::DecoderRooms<T>;
  const Buffer<std::byte> slab(static_cast<index_t>(Rooms::lay_out(config, chunk, together).bytes));
  const Rooms at = Rooms::lay_out(config, chunk, together, {slab.data(), slab.size_bytes()});
  BOOST_CHECK_EQUAL(at.bytes, slab.size_bytes());
  const Neighbours neighbours(slab, at.scratch);
  neighbours.check("conv_in", at.latents, at.repeated, at.stem, at.waiting);
  neighbours.check("conv_unpatchify", at.stem, at.patches, at.shuffled, at.waiting);
  neighbours.check(at.middle);
  for (const auto& block : at.level_3) neighbours.check("level 3", block);
  neighbours.check(at.upsample_3);
  for (const auto& block : at.level_2) neighbours.check("level 2", block);
  const auto& runs = at.tail.runs();
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> pasts;
  for (index_t first = 0; first < runs.coarse_frames; first += runs.coarse) {
    const index_t count = std::min(runs.coarse, runs.coarse_frames - first);
    const auto coarse = at.tail.coarse(first, count);
    neighbours.check("coarse", at.coarse, at.pixels, coarse.narrow, at.waiting);
    neighbours.check(coarse.upsample);
    neighbours.check("coarse", at.coarse, coarse.upsample.hidden, at.pixels);
    for (const auto& block : coarse.blocks) neighbours.check("level 1", block);
    std::vector<std::pair<std::uintptr_t, std::uintptr_t>> of_run{bytes_of(coarse.upsample.past)};
    const auto add_pasts = [&](const auto& blocks) {
      for (const auto& block : blocks) {
        of_run.push_back(bytes_of(block.past_in));
        of_run.push_back(bytes_of(block.past));
      }
    };
    add_pasts(coarse.blocks);
    for (index_t done = 0; done < 2 * count; done += runs.fine) {
      const auto fine = at.tail.fine(coarse, done, std::min(runs.fine, 2 * count - done));
      fine.widened.visit([&](auto widened) {
        neighbours.check("upsample 1", at.coarse, coarse.narrow, widened, at.pixels);
      });
      for (const auto& block : fine.blocks) neighbours.check("level 0", block);
      neighbours.check_norm("norm_out", fine.last);
      neighbours.check("conv_out", fine.last, with_past(fine.normed, fine.past), at.pixels, coarse.narrow);
      auto all = of_run;
      std::swap(of_run, all);
      add_pasts(fine.blocks);
      of_run.push_back(bytes_of(fine.past));
      std::swap(of_run, all);
      // Every run finds what the one before has kept, and nothing else is laid there.
      if (pasts.empty()) pasts = all;
      BOOST_CHECK(pasts == all);
      for (const auto& past : pasts)
        for (const auto& other : {bytes_of(at.coarse), bytes_of(at.pixels), bytes_of(coarse.narrow),
                                  bytes_of(coarse.upsample.hidden), bytes_of(fine.normed)})
          BOOST_CHECK(past.second <= other.first || other.second <= past.first);
    }
  }
  for (std::size_t i = 0; i < pasts.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      BOOST_CHECK(pasts[i].second <= pasts[j].first || pasts[j].second <= pasts[i].first);
  // One byte less is noticed.
  testing::check_refused(
      [&] {
        Rooms::lay_out(config, chunk, together, {slab.data(), slab.size_bytes() - 64});
      },
      {"the VAE's slab has", "count it for the same chunk and element"});
}

template <class T>
void check_encoder(const VaeConfig& config, VideoShape chunk, index_t together) {
  using Rooms = vae::EncoderRooms<T>;
  const Buffer<std::byte> slab(static_cast<index_t>(Rooms::lay_out(config, chunk, together).bytes));
  const Rooms at = Rooms::lay_out(config, chunk, together, {slab.data(), slab.size_bytes()});
  BOOST_CHECK_EQUAL(at.bytes, slab.size_bytes());
  const Neighbours neighbours(slab, at.scratch);
  for (index_t first = 0; first < chunk.frames; first += at.together()) {
    const auto fine = at.run(first, std::min(at.together(), chunk.frames - first));
    fine.stem.visit([&](auto stem) { neighbours.check("conv_in", stem, at.fine); });
    for (const auto& block : fine.level_0) neighbours.check("level 0", block);
    fine.halved.visit([&](auto halved) { neighbours.check("downsample", fine.whole, halved, at.fine); });
    for (const auto& block : fine.level_1) neighbours.check("level 1", block);
    neighbours.check("level 1", fine.level_1.back().normed, at.fine);
  }
  at.quartered.visit([&](auto out) { neighbours.check("downsample", at.fine, out); });
  for (const auto& block : at.level_2) neighbours.check("level 2", block);
  at.eighthed.visit([&](auto out) { neighbours.check("downsample", at.level_2_out, out); });
  for (const auto& block : at.level_3) neighbours.check("level 3", block);
  neighbours.check(at.middle);
  neighbours.check_norm("norm_out", at.last);
  neighbours.check("patchify", at.last, at.narrow, at.unshuffled, at.patches);
  neighbours.check("conv_out", at.patches, at.moments);
}

/// Decodes random latents of `video` and compares the memory they took with the plan's.
template <class T>
void check_planned_bytes(VideoShape video) {
  const auto files = tiny();
  const auto config = VaeConfig::of(files);
  VaeDecoder<T, Host> decoder(host, config, CheckpointSource(files, expected_tensors(config)));
  const LatentShape shape = video.latent();
  std::mt19937 engine(71);
  const auto latents = testing::random_normal<float>(shape.tokens() * 4, engine);
  decoder.decode({latents.data(), 1, 4, shape}, FloatPixels{}, [](const io::ReadyFrames&) {});
  BOOST_CHECK_EQUAL(static_cast<double>(decoder.room_bytes()),
                    plan::decode_activation_bytes(decoder.config(), video, sizeof(T), false, {}));
}

}  // namespace

BOOST_AUTO_TEST_CASE(videos_that_are_alive_together_lie_apart) {
  // Levels that widen, narrow and stay: every way for the stream to change ends.
  const VaeConfig config = VaeConfig::of(tiny());
  for (const index_t together : {0, 1, 2, 6}) BOOST_TEST_CONTEXT(together << " frames together") {
      for (const LatentShape chunk : {LatentShape{3, 2, 3}, LatentShape{1, 1, 1}}) {
        check_decoder<float>(config, chunk, together);
        check_decoder<bf16>(config, chunk, together);
      }
      for (const VideoShape chunk : {VideoShape{17, 32, 48}, VideoShape{1, 16, 16}}) {
        check_encoder<float>(config, chunk, together);
        check_encoder<bf16>(config, chunk, together);
      }
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
  const LatentShape chunk{3, 34, 62};
  const auto together =
      vae::decoder_frames_together<bf16>(request.shapes.vae, chunk, true, vae::MemoryLimit::usual(true));
  BOOST_CHECK_GT(together, 0);
  const auto at = vae::DecoderRooms<bf16>::lay_out(request.shapes.vae, chunk, together);
  const auto rooms = static_cast<double>(vae::chunk_bytes(at, true));
  BOOST_CHECK_EQUAL(decode->activation_bytes, rooms + 36.0 * 34 * 62 * 64 * sizeof(float));
}

BOOST_AUTO_TEST_CASE(the_releases_chunk_takes_as_much_work_and_memory_as_is_known) {
  const VideoShape chunk{17, 544, 992};
  const auto work = plan::decode_work(VaeConfig::release(), chunk);
  // 271 TFLOP with the doubled videos convolved as they are.
  BOOST_CHECK_CLOSE(work.convolution_flops, 234e12, 0.5);
  const auto bytes = [&](bool on_gpu, const vae::MemoryLimit& limit) {
    return plan::decode_activation_bytes(VaeConfig::release(), chunk, 2, on_gpu, limit);
  };
  BOOST_CHECK_CLOSE(bytes(false, {}), 18.4e9, 1);
  BOOST_CHECK_LE(bytes(true, vae::MemoryLimit::usual(true)), 6.5e9);
}
