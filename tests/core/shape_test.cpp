#define BOOST_TEST_MODULE shape
#include <limits>

#include <stepvideo/core/topology.hpp>

#include "support/compare.hpp"

using namespace stepvideo;

// The rules as facts for the compiler.
constexpr HeadShape release_heads{.count = 48, .dim = 128};
static_assert(HeadsDivideAcrossRanks<release_heads, Topology{.ulysses = 4}>);
static_assert(!HeadsDivideAcrossRanks<release_heads, Topology{.ulysses = 5}>);
static_assert(!HeadsShardAcrossRanks<release_heads, Topology{.ulysses = 5}>);
static_assert(HeadsShardAcrossRanks<release_heads, Topology{.ulysses = 5, .sharding = Sharding::uneven}>);
static_assert(HeadsDivideAcrossRanks<release_heads, Topology{.ring = 7}>);
static_assert(RopeSplitCoversHead<Rope3d<64, 32, 32>, release_heads>);
static_assert(!RopeSplitCoversHead<Rope3d<32, 16, 16>, release_heads>);
static_assert(RopeSplitCoversHead<Rope3d<32, 16, 16>, HeadShape{.count = 3, .dim = 64}>);
static_assert(TopologyCoversRanks<Topology{.guidance = 2, .ulysses = 2}, 4>);
static_assert(!TopologyCoversRanks<Topology{.guidance = 2, .ulysses = 2}, 3>);
// 75,888 tokens divide by 4 and their 593 blocks of 128 do not.
static_assert(tokens_divide_across_ranks(75'888, {.ulysses = 4}) &&
              tokens_divide_across_ranks(75'888, {}, 128));
static_assert(!tokens_divide_across_ranks(75'888, {.ulysses = 4}, 128));
static_assert(!uneven_tokens_cover_ranks(75'888, {.ulysses = 4}, 128));
static_assert(uneven_tokens_cover_ranks(75'888, {.ulysses = 4, .sharding = Sharding::uneven}, 128));
static_assert(!uneven_tokens_cover_ranks(300, {.ring = 4, .sharding = Sharding::uneven}, 128));
static_assert(FramesFillWholeChunks<VideoShape{.frames = 204}> &&
              FramesFillWholeChunks<VideoShape{.frames = 1}>);
static_assert(!FramesFillWholeChunks<VideoShape{.frames = 200}>);
static_assert(!SizeIsOnTheLatentGrid<VideoShape{.height = 540}>);
static_assert(StaticVideo<VideoShape{204, 544, 992}>::latent == LatentShape{36, 34, 62});

namespace {

std::string message_of(auto&& action) {
  try {
    action();
  } catch (const RequestError& error) {
    return error.what();
  }
  return "nothing was refused";
}

}  // namespace

BOOST_AUTO_TEST_CASE(token_counts_are_those_of_the_release) {
  BOOST_CHECK_EQUAL((VideoShape{204, 544, 992}.tokens()), 75'888);
  BOOST_CHECK_EQUAL((VideoShape{204, 768, 768}.tokens()), 82'944);
  BOOST_CHECK_EQUAL((VideoShape{136, 544, 992}.tokens()), 50'592);
  BOOST_CHECK_EQUAL((VideoShape{51, 544, 992}.tokens()), 18'972);
  BOOST_CHECK_EQUAL((VideoShape{17, 544, 992}.tokens()), 6'324);
  BOOST_CHECK_EQUAL((VideoShape{1, 544, 992}.tokens()), 2'108);
}

BOOST_AUTO_TEST_CASE(a_latent_leads_back_to_its_video) {
  for (int frames : {1, 17, 34, 204}) {
    const VideoShape video{frames, 96, 160};
    BOOST_CHECK(VideoShape::from_latent(video.latent()) == video);
  }
}

BOOST_AUTO_TEST_CASE(the_nearest_size_is_valid_and_no_valid_size_is_nearer) {
  for (int frames = 1; frames < 120; ++frames) {
    const VideoShape fitted = VideoShape{frames, 96, 96}.nearest();
    BOOST_REQUIRE(frames_fill_whole_chunks(fitted));
    for (int other = 1; other < 200; ++other)
      if (frames_fill_whole_chunks({other, 96, 96}))
        BOOST_REQUIRE_LE(std::abs(fitted.frames - frames), std::abs(other - frames));
  }
  for (int height = 1; height < 100; ++height) {
    const VideoShape fitted = VideoShape{17, height, 96}.nearest();
    BOOST_REQUIRE(size_is_on_the_latent_grid(fitted));
    for (int other = 16; other < 200; other += 16)
      BOOST_REQUIRE_LE(std::abs(fitted.height - height), std::abs(other - height));
  }
}

BOOST_AUTO_TEST_CASE(extents_beyond_every_video_are_refused_and_fitted_to_the_largest) {
  const int most = std::numeric_limits<int>::max();
  BOOST_CHECK(!frames_fill_whole_chunks({most / 17 * 17, 96, 96}));
  BOOST_CHECK(!size_is_on_the_latent_grid({17, most / 16 * 16, 96}));
  const VideoShape fitted = VideoShape{most, most, std::numeric_limits<int>::min()}.nearest();
  BOOST_CHECK(frames_fill_whole_chunks(fitted) && size_is_on_the_latent_grid(fitted));
  BOOST_CHECK_EQUAL(fitted.height, VideoShape::largest_extent);
  BOOST_CHECK_EQUAL(fitted.width, 16);
}

BOOST_AUTO_TEST_CASE(refusals_name_what_was_found_and_what_works) {
  BOOST_CHECK_EQUAL(message_of([] {
                      require_video_on_grid({200, 540, 992});
                    }),
                    "200 frames of 992x540 is off the grid (frames: 1 or a multiple of 17; width and height: "
                    "multiples of 16); the nearest valid size is 204 frames of 992x544");
  BOOST_CHECK_EQUAL(message_of([] { require_heads_shard_across_ranks(release_heads, {.ulysses = 5}); }),
                    "tensor x ulysses = 5 does not divide 48 heads; take a divisor, move ranks to ring or "
                    "guidance, or ask for uneven shards");
  BOOST_CHECK_EQUAL(
      message_of([] {
        require_heads_shard_across_ranks(release_heads, {.ulysses = 49, .sharding = Sharding::uneven});
      }),
      "tensor x ulysses = 49 is more than 48 heads, and a rank without a head has no work; move "
      "ranks to ring or guidance");
  BOOST_CHECK_EQUAL(
      message_of([] { require_tokens_shard_across_ranks(75'888, {.ring = 7}); }),
      "ulysses x ring = 7 does not divide 75888 tokens; take a divisor or ask for uneven shards");
  BOOST_CHECK_EQUAL(
      message_of([] { require_tokens_shard_across_ranks(75'888, {.ring = 4}, 128); }),
      "ulysses x ring = 4 does not divide 75888 tokens into whole blocks of 128; take a divisor "
      "or ask for uneven shards");
  BOOST_CHECK_EQUAL(
      message_of(
          [] { require_tokens_shard_across_ranks(300, {.ring = 4, .sharding = Sharding::uneven}, 128); }),
      "ulysses x ring = 4 is more than 3 blocks of 128 tokens, and a rank without a token has no work; move "
      "ranks to tensor or guidance");
  BOOST_CHECK_EQUAL(
      message_of([] { require_degrees_are_positive({.guidance = 3}); }),
      "the topology guidance=3,tensor=1,ulysses=1,ring=1 has a degree that cannot be; guidance is "
      "1 or 2, the others 1 or more");
  BOOST_CHECK_EQUAL(
      message_of([] { require_topology_covers_ranks({.guidance = 2, .ulysses = 2}, 3); }),
      "the topology guidance=2,tensor=1,ulysses=2,ring=1 makes 4 ranks and there are 3; guidance "
      "is 1 or 2 and the product must be the number of ranks");
  BOOST_CHECK_EQUAL(message_of([] {
                      require_rope_split_covers_head({64, 32, 32}, {.count = 2, .dim = 64});
                    }),
                    "the rope split 64/32/32 does not cover a head of 64 channels with even parts; a head "
                    "dimension that 8 divides works");
  BOOST_CHECK_EQUAL(message_of([] { require_video_on_grid({204, 544, 992}); }), "nothing was refused");
}
