// quotes: HeadsDivideAcrossRanks
// Eight GPUs share 48 heads: two for the guided pair, four along ulysses. With five along ulysses this
// program does not compile, and the compiler quotes the rule that was broken: HeadsDivideAcrossRanks.
#include <cstdio>

#include <stepvideo/comm/mesh.hpp>

namespace sv = stepvideo;

constexpr sv::HeadShape heads{.count = 48, .dim = 128};
#ifdef RULE_KEPT
constexpr sv::Topology gpus{.guidance = 2, .ulysses = 4};
#else
constexpr sv::Topology gpus{.guidance = 2, .ulysses = 5};
#endif

int main() {
  using Shards = sv::HeadShards<heads, gpus>;
  for (int rank = 0; rank < gpus.ranks(); ++rank) {
    const sv::Shard shard = Shards::of(rank);
    std::printf("rank %d: guidance %d, heads %lld to %lld\n", rank, Shards::mesh.at(rank).guidance,
                shard.first, shard.end() - 1);
  }
}
