// Which rank does what. Only this folder knows ranks; a kernel receives local counts.
#pragma once
#include <stepvideo/core/topology.hpp>

namespace stepvideo {

/// A rank's place in the topology.
struct MeshCoordinates {
  int guidance = 0, tensor = 0, ulysses = 0, ring = 0;
  constexpr bool operator==(const MeshCoordinates&) const = default;
};

/// Along what a group of ranks differs: one degree of the topology, or neighbouring ones together.
enum class Axis {
  tensor,
  ulysses,
  ring,
  guidance,
  tokens,  ///< ulysses and ring: they share the tokens
  prompt,  ///< tensor, ulysses and ring: they work on the same prompts
  world
};

/// Ranks that take part in a collective: `size` of them, `stride` apart. Their order is the order in which
/// shards follow one another.
struct Group {
  int first = 0, stride = 1, size = 1;

  constexpr int rank(int member) const { return first + member * stride; }
  constexpr bool contains(int rank) const {
    return rank >= first && (rank - first) % stride == 0 && (rank - first) / stride < size;
  }
  /// Which member a rank of the group is.
  constexpr int member(int rank) const { return (rank - first) / stride; }
  constexpr bool operator==(const Group&) const = default;
};

/// A contiguous share of something countable.
struct Shard {
  long long first = 0, count = 0;

  constexpr long long end() const { return first + count; }
  constexpr bool operator==(const Shard&) const = default;
};

/// Share `index` of `shards` of `total` things, of which `granule` stay together: shares are whole granules
/// but for the last thing's, and the first shares carry one granule more where they do not divide.
constexpr Shard shard_of(long long total, int shards, int index, long long granule = 1) {
  const long long granules = (total + granule - 1) / granule, whole = granules / shards,
                  extra = granules % shards;
  const auto bound = [&](long long i) {
    const long long end = (i * whole + (i < extra ? i : extra)) * granule;
    return end < total ? end : total;
  };
  return {bound(index), bound(index + 1) - bound(index)};
}

/// Every rank's place, groups and shares. Tensor varies fastest (its all-reduce is the most frequent
/// collective, so its ranks are neighbours), then ulysses, then ring, then guidance. A value: constexpr and
/// at run time. Members presume degrees_are_positive(gpus) and a rank from 0 to ranks() - 1.
struct Mesh {
  Topology gpus;

  constexpr int ranks() const { return static_cast<int>(gpus.ranks()); }

  constexpr MeshCoordinates at(int rank) const {
    return {.guidance = rank / (gpus.tensor * gpus.ulysses * gpus.ring),
            .tensor = rank % gpus.tensor,
            .ulysses = rank / gpus.tensor % gpus.ulysses,
            .ring = rank / (gpus.tensor * gpus.ulysses) % gpus.ring};
  }
  constexpr int rank(MeshCoordinates at) const {
    return ((at.guidance * gpus.ring + at.ring) * gpus.ulysses + at.ulysses) * gpus.tensor + at.tensor;
  }

  /// The ranks that differ from `rank` along `axis` and in nothing else, itself among them.
  constexpr Group group(Axis axis, int rank) const {
    const int prompt = gpus.tensor * gpus.ulysses * gpus.ring;
    switch (axis) {
      case Axis::tensor:
        return through(rank, 1, gpus.tensor);
      case Axis::ulysses:
        return through(rank, gpus.tensor, gpus.ulysses);
      case Axis::ring:
        return through(rank, gpus.tensor * gpus.ulysses, gpus.ring);
      case Axis::guidance:
        return through(rank, prompt, gpus.guidance);
      case Axis::tokens:
        return through(rank, gpus.tensor, gpus.token_shards());
      case Axis::prompt:
        return through(rank, 1, prompt);
      case Axis::world:
        break;
    }
    return {0, 1, ranks()};
  }
  /// Whether any group along `axis` has ranks on two hosts of `ranks_per_host` ranks each.
  constexpr bool leaves_host(Axis axis, int ranks_per_host) const {
    for (int rank = 0; rank < ranks(); ++rank) {
      const Group group = this->group(axis, rank);
      if (group.rank(0) / ranks_per_host != group.rank(group.size - 1) / ranks_per_host) return true;
    }
    return false;
  }

  /// Of the guided pair (prompt, negative prompt): what the rank computes.
  constexpr Shard prompts(int rank) const { return shard_of(2, gpus.guidance, at(rank).guidance); }

  /// The heads whose weights the rank holds: those of all its ulysses group.
  constexpr Shard projected_heads(HeadShape heads, int rank) const {
    return shard_of(heads.count, gpus.tensor, at(rank).tensor);
  }
  /// The heads that the rank attends with, for attended_tokens(): its ulysses group shares the projected
  /// ones.
  constexpr Shard attended_heads(HeadShape heads, int rank) const {
    return part_of(projected_heads(heads, rank), gpus.ulysses, at(rank).ulysses);
  }
  /// Columns of the feed forward's hidden layer whose weights the rank holds.
  constexpr Shard columns(long long columns, int rank) const {
    return shard_of(columns, gpus.tensor, at(rank).tensor);
  }
  /// The tokens of the rank's ulysses group: whose queries it attends with, and whose keys and values it
  /// brings into the ring. They depend on the ring alone, so that results do not change with ulysses. Shards
  /// are whole granules of tokens but for the last: fp8's blocks do not cross ranks.
  constexpr Shard attended_tokens(long long tokens, int rank, long long granule = 1) const {
    return shard_of(tokens, gpus.ring, at(rank).ring, granule);
  }
  /// The tokens of the residual stream that the rank holds: its ulysses group shares the attended ones.
  constexpr Shard tokens(long long tokens, int rank, long long granule = 1) const {
    return part_of(attended_tokens(tokens, rank, granule), gpus.ulysses, at(rank).ulysses, granule);
  }

  constexpr bool operator==(const Mesh&) const = default;

 private:
  /// The group of `size` ranks `stride` apart that `rank` is in.
  static constexpr Group through(int rank, int stride, int size) {
    return {rank - rank / stride % size * stride, stride, size};
  }
  static constexpr Shard part_of(Shard whole, int shards, int index, long long granule = 1) {
    const Shard part = shard_of(whole.count, shards, index, granule);
    return {whole.first + part.first, part.count};
  }
};

/// The mesh of `ranks` ranks, known at compile time; a topology that makes another number does not compile.
template <Topology gpus, int ranks>
requires TopologyCoversRanks<gpus, ranks>
inline constexpr Mesh mesh_of{gpus};

/// Heads shared by ranks, known at compile time; heads that cannot be shared like that do not compile.
template <HeadShape heads, Topology gpus>
requires DegreesArePositive<gpus> && HeadsShardAcrossRanks<heads, gpus>
struct HeadShards {
  static constexpr Mesh mesh{gpus};

  /// The heads that `rank` attends with.
  static constexpr Shard of(int rank) { return mesh.attended_heads(heads, rank); }
};

}  // namespace stepvideo
