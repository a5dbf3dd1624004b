#define BOOST_TEST_MODULE mesh
#include <array>
#include <map>
#include <vector>

#include <stepvideo/comm/mesh.hpp>

#include "support/compare.hpp"

using namespace stepvideo;

// The same value for the compiler.
constexpr HeadShape release_heads{.count = 48, .dim = 128};
constexpr Topology eight{.guidance = 2, .tensor = 2, .ulysses = 2};
static_assert(mesh_of<eight, 8>.at(5) == MeshCoordinates{.guidance = 1, .tensor = 1});
static_assert(mesh_of<eight, 8>.group(Axis::ulysses, 5) == Group{.first = 5, .stride = 2, .size = 2});
static_assert(HeadShards<release_heads, eight>::of(3) == Shard{36, 12});
using FiveShards = HeadShards<release_heads, Topology{.ulysses = 5, .sharding = Sharding::uneven}>;
static_assert(FiveShards::of(0) == Shard{0, 10} && FiveShards::of(4) == Shard{39, 9});

namespace {

constexpr int most_ranks = 64;

void for_each_mesh(auto&& visit) {
  for (int ranks = 1; ranks <= most_ranks; ++ranks)
    for_each_topology(ranks, [&](Topology gpus) { visit(Mesh{gpus}); });
}

/// The place of each rank, counted: tensor fastest, then ulysses, ring, guidance.
std::vector<MeshCoordinates> places_of(Topology gpus) {
  std::vector<MeshCoordinates> places;
  for (int guidance = 0; guidance < gpus.guidance; ++guidance)
    for (int ring = 0; ring < gpus.ring; ++ring)
      for (int ulysses = 0; ulysses < gpus.ulysses; ++ulysses)
        for (int tensor = 0; tensor < gpus.tensor; ++tensor)
          places.push_back({guidance, tensor, ulysses, ring});
  return places;
}

/// What two members of a group may differ in.
struct Differs {
  Axis axis;
  bool guidance, tensor, ulysses, ring;
};
constexpr std::array<Differs, 7> axes{{{Axis::guidance, true, false, false, false},
                                       {Axis::tensor, false, true, false, false},
                                       {Axis::ulysses, false, false, true, false},
                                       {Axis::ring, false, false, false, true},
                                       {Axis::tokens, false, false, true, true},
                                       {Axis::prompt, false, true, true, true},
                                       {Axis::world, true, true, true, true}}};

bool may_share(const Differs& axis, const MeshCoordinates& a, const MeshCoordinates& b) {
  return (axis.guidance || a.guidance == b.guidance) && (axis.tensor || a.tensor == b.tensor) &&
         (axis.ulysses || a.ulysses == b.ulysses) && (axis.ring || a.ring == b.ring);
}

/// Whether the shards lie one behind the other, are all of `total`, and none is empty.
bool tile(const std::vector<Shard>& shards, long long total) {
  long long next = 0;
  for (const Shard& shard : shards) {
    if (shard.first != next || shard.count < 1) return false;
    next = shard.end();
  }
  return next == total;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_way_to_write_a_number_of_ranks_is_visited_once) {
  for (int ranks = 1; ranks <= most_ranks; ++ranks) {
    std::map<std::array<int, 4>, int> seen;
    for_each_topology(ranks, [&](Topology t) { ++seen[{t.guidance, t.tensor, t.ulysses, t.ring}]; });
    std::map<std::array<int, 4>, int> expected;
    for (int guidance = 1; guidance <= 2; ++guidance)
      for (int tensor = 1; tensor <= ranks; ++tensor)
        for (int ulysses = 1; ulysses <= ranks; ++ulysses)
          for (int ring = 1; ring <= ranks; ++ring)
            if (guidance * tensor * ulysses * ring == ranks) expected[{guidance, tensor, ulysses, ring}] = 1;
    BOOST_CHECK(seen == expected);
  }
}

BOOST_AUTO_TEST_CASE(every_rank_has_one_place) {
  for_each_mesh([](Mesh mesh) {
    const auto places = places_of(mesh.gpus);
    BOOST_REQUIRE_EQUAL(std::ssize(places), mesh.ranks());
    for (int rank = 0; rank < mesh.ranks(); ++rank) {
      BOOST_REQUIRE(mesh.at(rank) == places[std::size_t(rank)]);
      BOOST_REQUIRE_EQUAL(mesh.rank(mesh.at(rank)), rank);
    }
  });
}

BOOST_AUTO_TEST_CASE(each_pair_of_ranks_shares_exactly_the_groups_it_should) {
  for_each_mesh([](Mesh mesh) {
    const auto places = places_of(mesh.gpus);
    for (const Differs& axis : axes)
      for (int a = 0; a < mesh.ranks(); ++a) {
        const Group group = mesh.group(axis.axis, a);
        int members = 0, wrong = 0;
        for (int b = 0; b < mesh.ranks(); ++b) {
          const bool shares = may_share(axis, places[std::size_t(a)], places[std::size_t(b)]);
          wrong += group.contains(b) != shares || (group == mesh.group(axis.axis, b)) != shares;
          if (!shares) continue;
          wrong += group.member(b) != members || group.rank(members) != b;
          ++members;
        }
        BOOST_REQUIRE_EQUAL(wrong, 0);
        BOOST_REQUIRE_EQUAL(group.size, members);
      }
  });
}

BOOST_AUTO_TEST_CASE(shards_tile_heads_tokens_and_columns_exactly_once) {
  for_each_mesh([](Mesh mesh) {
    const Topology gpus = mesh.gpus;
    for (const auto& [extra_heads, tokens, granule] :
         {std::tuple{0, 75'888LL, 1LL}, {1, 65LL, 1LL}, {5, 128LL * gpus.token_shards() - 127, 128LL}}) {
      const HeadShape heads{.count = gpus.head_shards() + extra_heads, .dim = 8};
      const long long columns = gpus.tensor + extra_heads;
      for (int rank = 0; rank < mesh.ranks(); ++rank) {
        std::vector<Shard> attended_heads, held_tokens, projected, hidden;
        const Group along_tokens = mesh.group(Axis::tokens, rank),
                    along_tensor = mesh.group(Axis::tensor, rank);
        for (int i = 0; i < along_tensor.size; ++i) {
          const Group group = mesh.group(Axis::ulysses, along_tensor.rank(i));
          for (int j = 0; j < group.size; ++j)
            attended_heads.push_back(mesh.attended_heads(heads, group.rank(j)));
        }
        for (int i = 0; i < along_tokens.size; ++i)
          held_tokens.push_back(mesh.tokens(tokens, along_tokens.rank(i), granule));
        for (int i = 0; i < along_tensor.size; ++i) {
          projected.push_back(mesh.projected_heads(heads, along_tensor.rank(i)));
          hidden.push_back(mesh.columns(columns, along_tensor.rank(i)));
        }
        BOOST_REQUIRE(tile(attended_heads, heads.count) && tile(held_tokens, tokens));
        BOOST_REQUIRE(tile(projected, heads.count) && tile(hidden, columns));
        for (const Shard& shard : held_tokens) BOOST_REQUIRE_EQUAL(shard.first % granule, 0);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(every_head_of_every_token_is_attended_with_on_one_rank_of_each_prompt) {
  for_each_mesh([](Mesh mesh) {
    const Topology gpus = mesh.gpus;
    const HeadShape heads{.count = gpus.head_shards() + 1, .dim = 8};
    const int tokens = gpus.token_shards() + 3;
    for (int prompt = 0; prompt < 2; ++prompt) {
      std::vector<int> times(std::size_t(heads.count) * std::size_t(tokens), 0);
      for (int rank = 0; rank < mesh.ranks(); ++rank) {
        const Shard prompts = mesh.prompts(rank), of_heads = mesh.attended_heads(heads, rank),
                    of_tokens = mesh.attended_tokens(tokens, rank);
        if (prompt < prompts.first || prompt >= prompts.end()) continue;
        for (long long head = of_heads.first; head < of_heads.end(); ++head)
          for (long long token = of_tokens.first; token < of_tokens.end(); ++token)
            ++times[std::size_t(head * tokens + token)];
      }
      BOOST_REQUIRE(std::ranges::count(times, 1) == std::ssize(times));
    }
  });
}

BOOST_AUTO_TEST_CASE(what_a_ulysses_group_has_together_is_what_each_of_it_exchanges) {
  for_each_mesh([](Mesh mesh) {
    const HeadShape heads{.count = mesh.gpus.head_shards() + 1, .dim = 8};
    const long long tokens = mesh.gpus.token_shards() + 3;
    for (int rank = 0; rank < mesh.ranks(); ++rank) {
      const Group group = mesh.group(Axis::ulysses, rank);
      const int first = group.rank(0), last = group.rank(group.size - 1);
      BOOST_REQUIRE_EQUAL(mesh.projected_heads(heads, rank).first, mesh.attended_heads(heads, first).first);
      BOOST_REQUIRE_EQUAL(mesh.projected_heads(heads, rank).end(), mesh.attended_heads(heads, last).end());
      BOOST_REQUIRE_EQUAL(mesh.attended_tokens(tokens, rank).first, mesh.tokens(tokens, first).first);
      BOOST_REQUIRE_EQUAL(mesh.attended_tokens(tokens, rank).end(), mesh.tokens(tokens, last).end());
    }
  });
}

BOOST_AUTO_TEST_CASE(the_first_shards_carry_one_granule_more) {
  for (const int shards : {1, 3, 5, 7, 8})
    for (const long long granule : {1, 128}) {
      const long long granules = (75'889 + granule - 1) / granule;
      std::vector<Shard> all;
      for (int index = 0; index < shards; ++index) {
        all.push_back(shard_of(75'889, shards, index, granule));
        const long long expected = granules / shards + (index < granules % shards ? 1 : 0);
        BOOST_CHECK_EQUAL((all.back().count + granule - 1) / granule, expected);
        BOOST_CHECK_EQUAL(all.back().first % granule, 0);
      }
      BOOST_CHECK(tile(all, 75'889));
    }
  // fp8's blocks at full size: 593 of them, the last of 112 tokens.
  BOOST_CHECK(shard_of(75'888, 4, 0, 128) == (Shard{0, 149 * 128}));
  BOOST_CHECK(shard_of(75'888, 4, 3, 128) == (Shard{445 * 128, 147 * 128 + 112}));
}

BOOST_AUTO_TEST_CASE(a_group_leaves_its_host_where_two_of_its_ranks_are_on_different_ones) {
  for_each_mesh([](Mesh mesh) {
    if (mesh.ranks() > 24) return;
    for (const int on_a_host : {1, 3, 4, 8})
      for (const Differs& axis : axes) {
        bool leaves = false;
        for (int a = 0; a < mesh.ranks(); ++a)
          for (int b = 0; b < mesh.ranks(); ++b)
            leaves |= mesh.group(axis.axis, a).contains(b) && a / on_a_host != b / on_a_host;
        BOOST_REQUIRE_EQUAL(mesh.leaves_host(axis.axis, on_a_host), leaves);
      }
  });
}
