#define BOOST_TEST_MODULE attention_work
#include <algorithm>
#include <random>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/attention/attention_work.hpp>

namespace stepvideo {
namespace {

struct Case {
  AttentionWorkList list;
  int blocks;
};

/// Lists from one tile up, and blocks from one to more than there are tiles.
Case random_case(std::mt19937& engine) {
  const auto up_to = [&](int most) { return std::uniform_int_distribution<int>(1, most)(engine); };
  const AttentionWorkList list{.query_tiles = up_to(9),
                               .heads_per_group = up_to(4),
                               .key_heads = up_to(5),
                               .batch = up_to(4),
                               .tile_queries = up_to(200)};
  return {list, up_to(list.count() + 3)};
}

/// What the tile of that number is, by its definition.
AttentionWork numbered(const AttentionWorkList& list, int number) {
  const int heads = list.heads_per_group * list.key_heads, head = number / list.query_tiles % heads;
  return {.batch = number / list.query_tiles / heads,
          .head = head,
          .key_head = head / list.heads_per_group,
          .first_query = (list.query_tiles - 1 - number % list.query_tiles) * list.tile_queries};
}

void require_is(const AttentionWork& work, const AttentionWork& expected) {
  BOOST_REQUIRE_EQUAL(work.batch, expected.batch);
  BOOST_REQUIRE_EQUAL(work.head, expected.head);
  BOOST_REQUIRE_EQUAL(work.key_head, expected.key_head);
  BOOST_REQUIRE_EQUAL(work.first_query, expected.first_query);
}

BOOST_AUTO_TEST_CASE(interleaved_shares_take_every_tile_in_turn) {
  std::mt19937 engine(1);
  for (int repeat = 0; repeat < 300; ++repeat) {
    const auto [list, blocks] = random_case(engine);
    int tiles = 0;
    for (int block = 0; block < blocks; ++block) {
      int number = block;
      for (auto share = AttentionShare::interleaved(list, block, blocks); !share.is_done(); share.advance()) {
        require_is(share.work(), numbered(list, number));
        number += blocks;
        ++tiles;
      }
    }
    BOOST_REQUIRE_EQUAL(tiles, list.count());
  }
}

BOOST_AUTO_TEST_CASE(contiguous_shares_follow_one_another_and_differ_by_one_tile_at_most) {
  std::mt19937 engine(2);
  for (int repeat = 0; repeat < 300; ++repeat) {
    const auto [list, blocks] = random_case(engine);
    int number = 0;
    std::vector<int> sizes;
    for (int block = 0; block < blocks; ++block) {
      const int first = number;
      for (auto share = AttentionShare::contiguous(list, block, blocks); !share.is_done(); share.advance())
        require_is(share.work(), numbered(list, number++));
      sizes.push_back(number - first);
    }
    BOOST_REQUIRE_EQUAL(number, list.count());
    const auto [least, most] = std::ranges::minmax(sizes);
    BOOST_REQUIRE_LE(most - least, 1);
  }
}

}  // namespace
}  // namespace stepvideo
