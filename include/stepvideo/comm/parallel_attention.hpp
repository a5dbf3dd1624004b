// Attention for one model on one topology, both known to the compiler: it compiles, or the compiler quotes
// the rule that is broken.
#pragma once
#include <stepvideo/comm/attention_across_ranks.hpp>
#include <stepvideo/core/shape.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Checks and forwards: no kernel is compiled for a topology.
///     using Attention = ParallelAttention<bf16, HeadShape{48, 128}, Topology{.ulysses = 4}, Rope3d<64, 32,
///     32>>; const auto attend = Attention::over(communicator); attend(host, queries, keys, values, out,
///     tokens, workspace);
template <Element T, HeadShape heads, Topology gpus, class Rope>
requires DegreesArePositive<gpus> && HeadsShardAcrossRanks<heads, gpus> && RopeSplitCoversHead<Rope, heads>
struct ParallelAttention {
  static constexpr Mesh mesh{gpus};

  /// Throws RequestError unless the communicator has gpus.ranks() ranks.
  template <Communicator C>
  static AttentionAcrossRanks<T, C> over(C& communicator) {
    return {communicator, mesh, heads};
  }
  /// The whole video's table; AttentionAcrossRanks::local() is a rank's part of it.
  template <Execution E>
  static RopeTable<E> rope_table(E execution, LatentShape shape) {
    return make_rope_table<T>(execution, shape, Rope::split);
  }
};

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
