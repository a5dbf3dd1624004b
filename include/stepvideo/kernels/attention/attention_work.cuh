// Which tiles of queries a block works on.
#pragma once
#include <algorithm>
#include <limits>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// Kernels number tokens, and what lies a tile behind the last, by int.
inline void require_countable_tokens(index_t queries, index_t keys) {
  constexpr index_t most = std::numeric_limits<int>::max() / 2;
  require(std::max(queries, keys) <= most, [&] {
    return "attention: there are " + std::to_string(queries) + " queries and " + std::to_string(keys) +
           " keys; the device attends to up to " + std::to_string(most);
  });
}

/// A tile of queries of one head.
struct AttentionWork {
  int batch, head, first_query;
};

/// Numbers all tiles of all heads. The tiles of a head are neighbours, so that the blocks at work share its
/// keys and values in the L2 cache; the last queries come first, since under a causal mask they have most to
/// do.
struct AttentionWorkList {
  int query_tiles, heads, batch, tile_queries;

  static AttentionWorkList of(index_t batch, index_t heads, index_t queries, int tile_queries) {
    return {static_cast<int>((queries + tile_queries - 1) / tile_queries), static_cast<int>(heads),
            static_cast<int>(batch), tile_queries};
  }
  constexpr int count() const { return query_tiles * heads * batch; }
  constexpr AttentionWork at(int index) const {
    const int tile = query_tiles - 1 - index % query_tiles, of_batch = index / query_tiles;
    return {of_batch / heads, of_batch % heads, tile * tile_queries};
  }
};

/// The numbers first, first + step, ... below end: one block's share of a work list.
struct AttentionShare {
  int first, end, step;

  /// Every block takes the next tile in turn: all work on one head at a time.
  static constexpr AttentionShare interleaved(int count, int block, int blocks) {
    return {block, count, blocks};
  }
  /// Neighbouring tiles, whose keys and values a block may keep.
  static constexpr AttentionShare contiguous(int count, int block, int blocks) {
    const auto bound = [&](int b) { return static_cast<int>(index_t{count} * b / blocks); };
    return {bound(block), bound(block + 1), 1};
  }
};

}  // namespace stepvideo
