// Which tiles of queries a block works on.
#pragma once
#include <algorithm>
#include <limits>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// Kernels number tokens, and what lies a tile behind the last, by int; tiles of queries, too.
template <class T>
void require_countable_attention(const HeadsView<const T>& queries, index_t keys) {
  constexpr index_t most = std::numeric_limits<int>::max(), least_tile = 64;
  require(std::max(queries.tokens, keys) <= most / 2, [&] {
    return "attention: there are " + std::to_string(queries.tokens) + " queries and " + std::to_string(keys) +
           " keys; the device attends to up to " + std::to_string(most / 2);
  });
  const index_t tiles = (queries.tokens + least_tile - 1) / least_tile;
  require(tiles == 0 || queries.heads == 0 || queries.batch <= most / tiles / queries.heads, [&] {
    return "attention: queries are " + shape_text(queries) + ", which is more than the " +
           std::to_string(most) + " tiles of 64 tokens of a head that one call takes; a smaller batch works";
  });
}

/// A tile of queries of one head; key_head is the one whose keys and values that head attends to.
struct AttentionWork {
  int batch, head, key_head, first_query;
};

/// All tiles of all heads. The tiles of a head are neighbours, so that the blocks at work share its keys and
/// values in the L2 cache; the last queries come first, since under a causal mask they have most to do.
struct AttentionWorkList {
  int query_tiles, heads_per_group, key_heads, batch, tile_queries;

  /// The tiles of `queries` (batch, tokens, heads, dim), or of any view of that shape.
  template <class T>
  static AttentionWorkList of(const HeadsView<T>& queries, index_t key_heads, int tile_queries) {
    return {.query_tiles = static_cast<int>((queries.tokens + tile_queries - 1) / tile_queries),
            .heads_per_group = static_cast<int>(queries.heads / key_heads),
            .key_heads = static_cast<int>(key_heads),
            .batch = static_cast<int>(queries.batch),
            .tile_queries = tile_queries};
  }
  constexpr int count() const { return query_tiles * heads_per_group * key_heads * batch; }
};

/// One block's share of a work list: every so many tiles, or neighbours. Moving on takes additions alone:
/// divisions would take as long as the softmax of a tile, with nothing beside them.
class AttentionShare {
 public:
  /// Every block takes the next tile in turn: all work on one head at a time.
  static constexpr AttentionShare interleaved(const AttentionWorkList& list, int block, int blocks) {
    return {list, block, list.count(), blocks};
  }
  /// Neighbouring tiles, whose keys and values a block may keep.
  static constexpr AttentionShare contiguous(const AttentionWorkList& list, int block, int blocks) {
    const auto bound = [&](int b) { return static_cast<int>(index_t{list.count()} * b / blocks); };
    return {list, bound(block), bound(block + 1), 1};
  }

  constexpr bool is_done() const { return left_ <= 0; }
  /// The tile at hand, of a share that is not done.
  constexpr AttentionWork work() const {
    return {.batch = at_.batch,
            .head = at_.key_head * list_.heads_per_group + at_.member,
            .key_head = at_.key_head,
            .first_query = (list_.query_tiles - 1 - at_.tile) * list_.tile_queries};
  }
  constexpr void advance() {
    left_ -= step_count_;
    int carry = 0;
    add(at_.tile, step_.tile, list_.query_tiles, carry);
    add(at_.member, step_.member, list_.heads_per_group, carry);
    add(at_.key_head, step_.key_head, list_.key_heads, carry);
    at_.batch += step_.batch + carry;
  }

 private:
  /// A tile's number, or a difference of two, to the radices of the list.
  struct Digits {
    int tile, member, key_head, batch;
  };
  static constexpr Digits digits(const AttentionWorkList& list, int number) {
    const int head = number / list.query_tiles, key_head = head / list.heads_per_group;
    return {number % list.query_tiles, head % list.heads_per_group, key_head % list.key_heads,
            key_head / list.key_heads};
  }
  static constexpr void add(int& digit, int step, int radix, int& carry) {
    digit += step + carry;
    carry = digit >= radix ? 1 : 0;
    if (carry > 0) digit -= radix;
  }

  constexpr AttentionShare(const AttentionWorkList& list, int first, int end, int step)
      : list_(list),
        at_(digits(list, first)),
        step_(digits(list, step)),
        left_(end - first),
        step_count_(step) {}

  AttentionWorkList list_;
  Digits at_, step_;
  int left_, step_count_;
};

}  // namespace stepvideo
