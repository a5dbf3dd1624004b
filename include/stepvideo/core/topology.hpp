// How ranks share the work, and the rules of it. Written like core/shape.hpp: one predicate per rule, a
// concept for the compiler, a require_...() for run time.
#pragma once
#include <string>

#include <stepvideo/core/shape.hpp>

namespace stepvideo {

/// Whether heads and tokens must divide evenly, or some ranks may carry one more than others.
enum class Sharding { even, uneven };

/// Degrees of parallelism; their product is the number of ranks.
struct Topology {
  int guidance = 1;  ///< prompt and negative prompt on different ranks: 1 or 2
  int tensor = 1;    ///< heads and feed-forward columns
  int ulysses = 1;   ///< tokens, exchanged for heads around attention
  int ring = 1;      ///< tokens, with keys and values passed round
  Sharding sharding = Sharding::even;

  constexpr long long ranks() const { return 1LL * guidance * tensor * ulysses * ring; }
  constexpr int head_shards() const { return tensor * ulysses; }
  constexpr int token_shards() const { return ulysses * ring; }
  constexpr bool operator==(const Topology&) const = default;
};
// A compiler that reads designated initialisers wrongly as template values would shard along the wrong axis.
// clang-format off
static_assert(Topology{.ulysses = 4}.ulysses == 4 && Topology{.ulysses = 4}.tensor == 1, "nvcc with clang as its host compiler reads Topology{.ulysses = 4} as another topology; g++ (-ccbin g++) reads it right, and the headers of kernels need none");
// clang-format on

/// Calls `visit` with every way to write `ranks` as guidance x tensor x ulysses x ring, with even shards.
template <class Visit>
constexpr void for_each_topology(int ranks, Visit&& visit) {
  for (int guidance = 1; guidance <= 2; ++guidance)
    for (int tensor = 1; tensor <= ranks; ++tensor)
      for (int ulysses = 1; ulysses <= ranks / tensor; ++ulysses)
        if (ranks % (guidance * tensor * ulysses) == 0)
          visit(Topology{guidance, tensor, ulysses, ranks / (guidance * tensor * ulysses), Sharding::even});
}

constexpr bool degrees_are_positive(Topology gpus) {
  return (gpus.guidance == 1 || gpus.guidance == 2) && gpus.tensor > 0 && gpus.ulysses > 0 && gpus.ring > 0;
}
constexpr bool topology_covers_ranks(Topology gpus, int ranks) {
  return degrees_are_positive(gpus) && gpus.ranks() == ranks;
}
constexpr bool heads_divide_across_ranks(HeadShape heads, Topology gpus) {
  return gpus.head_shards() > 0 && heads.count % gpus.head_shards() == 0;
}
constexpr bool uneven_heads_cover_ranks(HeadShape heads, Topology gpus) {
  return gpus.sharding == Sharding::uneven && gpus.head_shards() > 0 && gpus.head_shards() <= heads.count;
}
/// `granule` tokens stay together: 128 where fp8 gives each such block a scale, 1 elsewhere.
constexpr bool tokens_divide_across_ranks(long long tokens, Topology gpus, long long granule = 1) {
  return gpus.token_shards() == 1 || tokens % (gpus.token_shards() * granule) == 0;
}
constexpr bool uneven_tokens_cover_ranks(long long tokens, Topology gpus, long long granule = 1) {
  return gpus.sharding == Sharding::uneven && gpus.token_shards() > 0 &&
         gpus.token_shards() <= (tokens + granule - 1) / granule;
}

template <Topology gpus>
concept DegreesArePositive = degrees_are_positive(gpus);
/// guidance x tensor x ulysses x ring is the number of ranks.
template <Topology gpus, int ranks>
concept TopologyCoversRanks = topology_covers_ranks(gpus, ranks);
/// tensor x ulysses divides the head count.
template <HeadShape heads, Topology gpus>
concept HeadsDivideAcrossRanks = heads_divide_across_ranks(heads, gpus);
/// Heads divide, or uneven shards were asked for and no rank goes without a head.
template <HeadShape heads, Topology gpus>
concept HeadsShardAcrossRanks = HeadsDivideAcrossRanks<heads, gpus> || uneven_heads_cover_ranks(heads, gpus);

/// As --topology takes it: "guidance=1,tensor=1,ulysses=5,ring=1,sharding=uneven"; even shards go unsaid.
inline std::string to_string(Topology gpus) {
  return "guidance=" + std::to_string(gpus.guidance) + ",tensor=" + std::to_string(gpus.tensor) +
         ",ulysses=" + std::to_string(gpus.ulysses) + ",ring=" + std::to_string(gpus.ring) +
         (gpus.sharding == Sharding::uneven ? ",sharding=uneven" : "");
}

inline void require_degrees_are_positive(Topology gpus) {
  require(degrees_are_positive(gpus), [&] {
    return "the topology " + to_string(gpus) +
           " has a degree that cannot be; guidance is 1 or 2, the others 1 or more";
  });
}
inline void require_topology_covers_ranks(Topology gpus, int ranks) {
  require(topology_covers_ranks(gpus, ranks), [&] {
    return "the topology " + to_string(gpus) + " makes " + std::to_string(gpus.ranks()) +
           " ranks and there are " + std::to_string(ranks) +
           "; guidance is 1 or 2 and the product must be the number of ranks";
  });
}
inline void require_heads_shard_across_ranks(HeadShape heads, Topology gpus) {
  const auto shards = [&] { return "tensor x ulysses = " + std::to_string(gpus.head_shards()); };
  require(gpus.head_shards() <= heads.count, [&] {
    return shards() + " is more than " + std::to_string(heads.count) +
           " heads, and a rank without a head has no work; move ranks to ring or guidance";
  });
  require(heads_divide_across_ranks(heads, gpus) || uneven_heads_cover_ranks(heads, gpus), [&] {
    return shards() + " does not divide " + std::to_string(heads.count) +
           " heads; take a divisor, move ranks to ring or guidance, or ask for uneven shards";
  });
}
inline void require_tokens_shard_across_ranks(long long tokens, Topology gpus, long long granule = 1) {
  const long long blocks = (tokens + granule - 1) / granule;
  const auto shards = [&] { return "ulysses x ring = " + std::to_string(gpus.token_shards()); };
  const auto things = [&] {
    return granule == 1 ? std::to_string(tokens) + " tokens"
                        : std::to_string(tokens) + " tokens into whole blocks of " + std::to_string(granule);
  };
  require(gpus.token_shards() <= blocks, [&] {
    return shards() + " is more than " + std::to_string(blocks) +
           (granule == 1 ? " tokens" : " blocks of " + std::to_string(granule) + " tokens") +
           ", and a rank without a token has no work; move ranks to tensor or guidance";
  });
  require(
      tokens_divide_across_ranks(tokens, gpus, granule) || uneven_tokens_cover_ranks(tokens, gpus, granule),
      [&] {
        return shards() + " does not divide " + things() + "; take a divisor or ask for uneven shards";
      });
}

}  // namespace stepvideo
