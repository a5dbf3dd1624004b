// Videos that ranks decode together: the same frames, and what happens when one of them fails or is late.
#define BOOST_TEST_MODULE shared_decode
#include "pipeline/shared_decode.hpp"

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <omp.h>

#include <stepvideo/comm/flight_recorder.hpp>
#include <stepvideo/comm/thread_communicator.hpp>

#include "pipeline/ranks_on_threads.hpp"
#include "pipeline/video_codec.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::pipeline;
using model::vae::ChunkDeal, model::vae::MemoryLimit;
using testing::ScratchFolder, testing::read_text;

namespace {

const VideoCodec& codec() {
  static const VideoCodec codec(ModelSource{STEPVIDEO_TEST_DATA "/golden/vae_tiny"});
  return codec;
}

Latents latents_of(int frames) {
  const LatentShape shape{frames, 1, 2};
  std::mt19937 engine(5);
  return {shape, 4, testing::random_normal<float>(4 * shape.tokens(), engine)};
}

std::string decoded(const Latents& latents, const Ranks& ranks, const std::string& name = "v.safetensors") {
  const ScratchFolder folder;
  Progress progress({.is_quiet = true, .log_file = ranks.log_file});
  codec().load_decoder({}, progress, ranks)->decode(latents, folder / name, {}, progress);
  return read_text(folder / name);
}

/// Chunks of 17 frames whose values are the chunk's number.
class Numbers final : public VaeChunkDecoder {
 public:
  using BeforeChunk = std::function<void(int rank, int chunk)>;
  explicit Numbers(BeforeChunk before_chunk) : before_chunk_(std::move(before_chunk)) {}

  void decode(LatentsView<const float>, const io::PixelFormat&, const model::OnFrames&) override {}
  void decode_chunks(LatentsView<const float> latents, ChunkDeal deal, const io::PixelFormat& format,
                     const model::OnChunk& on_chunk) override {
    const model::DecodedChunkRooms rooms{VideoShape::from_latent(latents.shape), deal, format};
    for (int number = deal.first; number < rooms.video.chunks(); number += deal.stride) {
      before_chunk_(deal.first, number);
      const Buffer<std::uint8_t> memory(static_cast<index_t>(rooms.most_bytes()));
      std::ranges::fill(memory, std::uint8_t{0});
      const model::DecodedChunk chunk = rooms.lay_out(number, memory.data());
      for (const auto* part : {&chunk.frames, &chunk.front, &chunk.back})
        std::fill_n(io::floats_of(*part).data, io::floats_of(*part).size(), static_cast<float>(number));
      on_chunk(chunk);
    }
  }

 private:
  BeforeChunk before_chunk_;
};

/// Decodes eight chunks on `count` ranks that call `before_chunk`. Returns each frame's value.
struct EightChunks {
  Deadlines deadlines = {};
  Numbers::BeforeChunk before_chunk = [](int, int) {};
  std::function<void()> on_frames = [] {};

  std::vector<float> operator()(int count) const {
    Progress progress({.is_quiet = true});
    const LoadVaeDecoder load = [&](int, Progress&) { return std::make_shared<Numbers>(before_chunk); };
    const auto decoder = load_decoder_on_threads(
        load, {.deadlines = deadlines, .decoders = count, .decode_turn_seconds = 0}, progress);
    const Latents latents = latents_of(24);
    std::vector<float> frames;
    decoder->decode({latents.values.data(), 1, latents.channels, latents.shape}, FloatPixels{},
                    [&](const io::ReadyFrames& ready) {
                      on_frames();
                      for (index_t frame = 0; frame < ready.frames; ++frame)
                        frames.push_back(*io::floats_of(ready).pixel(frame, 0, 0));
                    });
    return frames;
  }
};

std::string failure_of(const EightChunks& run, int ranks) {
  try {
    run(ranks);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing failed";
}

void sleep(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace

BOOST_AUTO_TEST_CASE(frames_of_any_number_of_ranks_are_those_of_one) {
  omp_set_num_threads(2);
  const auto check = [](int latent_frames, std::initializer_list<int> numbers) {
    const Latents latents = latents_of(latent_frames);
    const std::string alone = decoded(latents, {});
    for (const int ranks : numbers)
      BOOST_CHECK_MESSAGE(decoded(latents, {.decoders = ranks}) == alone,
                          latent_frames << " latent frames on " << ranks << " ranks");
  };
  check(9, {2, 3, 7});
  BOOST_CHECK(decoded(latents_of(9), {.decoders = 2}, "v.y4m") == decoded(latents_of(9), {}, "v.y4m"));
  check(3, {2});
  check(1, {2});
  BOOST_CHECK_EQUAL(omp_get_max_threads(), 2);
}

BOOST_AUTO_TEST_CASE(frames_come_in_order_whichever_rank_is_slow) {
  const auto alone = EightChunks{}(2);
  BOOST_REQUIRE_EQUAL(alone.size(), 8 * 17);
  for (std::size_t frame = 1; frame < alone.size(); ++frame) BOOST_CHECK_GE(alone[frame], alone[frame - 1]);
  for (const int slow : {0, 1, 2}) {
    const EightChunks run{.before_chunk = [&](int rank, int) { sleep(rank == slow ? 0.02 : 0); }};
    BOOST_CHECK(run(3) == alone);
  }
}

BOOST_AUTO_TEST_CASE(ranks_of_the_last_turn_divide_all_threads) {
  omp_set_num_threads(6);
  std::atomic<int> of_first_turns = 0, of_last_turn = 0;
  const EightChunks run{.before_chunk = [&](int, int chunk) {
    (chunk < 6 ? of_first_turns : of_last_turn) += omp_get_max_threads();
  }};
  run(3);  // chunks 6 and 7 are left for the third turn
  BOOST_CHECK_EQUAL(of_first_turns, 2 * 6);
  BOOST_CHECK_EQUAL(of_last_turn, 6);
}

BOOST_AUTO_TEST_CASE(a_rank_that_fails_takes_the_others_with_it_by_name) {
  for (const int broken : {0, 1, 2}) {
    const EightChunks run{.before_chunk = [&](int rank, int chunk) {
      if (rank == broken && chunk > 2) throw Error("the chunk is broken");
    }};
    BOOST_CHECK_EQUAL(failure_of(run, 3), "rank " + std::to_string(broken) + ": the chunk is broken");
  }
  const EightChunks without_memory{.before_chunk = [](int rank, int) {
    if (rank == 1) throw std::bad_alloc();
  }};
  BOOST_CHECK_EQUAL(failure_of(without_memory, 2).find("rank 1: out of memory"), 0);
}

BOOST_AUTO_TEST_CASE(after_frames_that_cannot_be_taken_the_same_ranks_decode_the_next_video) {
  const Latents latents = latents_of(24);
  const LatentsView<const float> view{latents.values.data(), 1, latents.channels, latents.shape};
  for (const int calls : {1, 2, 5, 9, 15}) {
    index_t frames = 0;
    run_on_threads(3, [&](ThreadCommunicator& end) {
      FlightRecorder recorder;
      Recorded communicator(end, recorder);
      Progress progress({.is_quiet = true});
      Numbers decoder([](int, int) {});
      SharedDecode part(communicator, decoder, view, FloatPixels{}, 3);
      if (end.rank() > 0) {
        part.follow(progress);
        part.follow(progress);
        return;
      }
      int left = calls;
      BOOST_CHECK_EXCEPTION(
          part.lead([&](const io::ReadyFrames&) {
            if (--left == 0) throw Error("the disk is full");
          }),
          Error, [](const Error& error) { return error.what() == std::string("the disk is full"); });
      part.lead([&](const io::ReadyFrames& ready) { frames += ready.frames; });
    });
    BOOST_CHECK_EQUAL(frames, 8 * 17);
  }
}

BOOST_AUTO_TEST_CASE(a_slow_disk_is_nobodys_fault_and_a_rank_that_stalls_is_named) {
  constexpr Deadlines short_ones{.factor = 0, .floor_seconds = 0.2};  // 2 s in the first turn
  const EightChunks slow_disk{.deadlines = short_ones, .on_frames = [] { sleep(0.1); }};
  BOOST_CHECK_EQUAL(slow_disk(4).size(), 8 * 17);
  const EightChunks stalled{.deadlines = short_ones, .before_chunk = [](int rank, int chunk) {
                              if (rank == 2 && chunk > 2) sleep(1.0);
                            }};
  const std::string failure = failure_of(stalled, 4);
  BOOST_CHECK_MESSAGE(failure.find("rank 2 is late: all_reduce of ranks 0, 2 in step 2") == 0, failure);
}

BOOST_AUTO_TEST_CASE(logs_of_all_decoders_hold_their_turns) {
  const ScratchFolder folder;
  decoded(latents_of(9), {.topology = {.ring = 3}, .decoders = 3, .log_file = folder / "run.ndjson"});
  for (const char* const name : {"run.ndjson", "run.rank1.ndjson", "run.rank2.ndjson"}) {
    const std::string log = read_text(folder / name);
    for (const char* const phrase : {R"("stage":"load VAE decoder")", R"("stage":"decode","event":"end")",
                                     R"("op":"broadcast","group":"ranks 0, )"})
      BOOST_CHECK_MESSAGE(log.find(phrase) != log.npos, name << " lacks " << phrase << ": " << log);
  }
}

BOOST_AUTO_TEST_CASE(decoders_are_as_few_as_need_no_more_turns_and_as_many_as_the_memory_holds) {
  using namespace model::vae;
  static_assert(decoders_for(12, 4) == 4 && decoders_for(4, 3) == 2 && decoders_for(5, 4) == 3);
  static_assert(decoders_for(1, 8) == 1 && decoders_for(3, 8) == 3);
  // A chunk takes 10 bytes, or 6 with fewer frames together; a decoder has 5 beside it.
  const auto chunk = [](const MemoryLimit& limit) { return limit.bytes >= 10 ? 10 : 6; };
  BOOST_CHECK_EQUAL(decoders_that_fit(4, 1000, 5, {}, chunk), 4);
  BOOST_CHECK_EQUAL(decoders_that_fit(4, 45, 5, {40}, chunk), 3);
  BOOST_CHECK_EQUAL(decoders_that_fit(4, 1000, 5, {20}, chunk), 3);        // 6 of 20 / 3 each
  BOOST_CHECK_EQUAL(decoders_that_fit(4, 1000, 5, {20, true}, chunk), 4);  // each may take 20
  BOOST_CHECK_EQUAL(decoders_that_fit(4, 1, 5, {}, chunk), 1);
}
