// Which rank does what. Only this folder knows ranks; a kernel receives local counts.
#pragma once
#include <stepvideo/core/topology.hpp>

namespace stepvideo {

/// A rank's place in the topology.
struct MeshCoordinates {
  int guidance = 0, tensor = 0, ulysses = 0, ring = 0;
  constexpr bool operator==(const MeshCoordinates&) const = default;
};

/// The one mesh of `ranks` ranks. Tensor varies fastest (its all-reduce is the most frequent collective, so
/// its ranks are neighbours), then ulysses, then ring, then guidance.
template <Topology gpus, int ranks>
  requires TopologyCoversRanks<gpus, ranks>
struct Mesh {
  static constexpr MeshCoordinates coordinates(int rank) {
    return {.guidance = rank / (gpus.tensor * gpus.ulysses * gpus.ring),
            .tensor = rank % gpus.tensor,
            .ulysses = rank / gpus.tensor % gpus.ulysses,
            .ring = rank / (gpus.tensor * gpus.ulysses) % gpus.ring};
  }
  static constexpr int rank(MeshCoordinates at) {
    return ((at.guidance * gpus.ring + at.ring) * gpus.ulysses + at.ulysses) * gpus.tensor + at.tensor;
  }
};

/// A contiguous share of something countable.
struct Shard {
  long long first = 0, count = 0;
  constexpr bool operator==(const Shard&) const = default;
};

/// Share `index` of `shards` of `total` things; the first total % shards shares carry one more.
constexpr Shard shard_of(long long total, int shards, int index) {
  const long long whole = total / shards, extra = total % shards;
  return {index * whole + (index < extra ? index : extra), whole + (index < extra ? 1 : 0)};
}

/// The heads each rank attends with.
template <HeadShape heads, Topology gpus>
  requires DegreesArePositive<gpus> && HeadsShardAcrossRanks<heads, gpus>
struct HeadShards {
  /// Of head shard tensor * gpus.ulysses + ulysses.
  static constexpr Shard of(int head_shard) { return shard_of(heads.count, gpus.head_shards(), head_shard); }
};

}  // namespace stepvideo
