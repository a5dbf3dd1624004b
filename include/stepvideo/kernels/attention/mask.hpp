// Which keys a query sees, and what is added to its scores. A mask is a small struct; attention is compiled
// for the ones it is called with.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// visible_keys(batch, query, keys): of `keys` keys the query sees this many, the first ones: from none to
/// `keys`. The number must not fall as `query` rises. A mask that holds arrays also has require_fits(batch,
/// query heads), which throws RequestError when one is too short.
template <class M>
concept AttentionMask = requires(const M& mask, index_t at) {
  { mask.visible_keys(at, at, at) } -> std::convertible_to<index_t>;
};

/// Keys [first, end); none where they are equal.
struct KeyRange {
  index_t first, end;
};

/// A mask under which a query may not see the first keys: key_range(batch, query, keys) says from which to
/// which it does, visible_keys() is the end of that. Neither bound falls as `query` rises. Kernels read no
/// tile of keys that a tile of queries sees nothing of. A value that is not finite may reach queries that do
/// not see it from a tile of keys that they see part of.
template <class M>
concept KeyRangeMask = AttentionMask<M> && requires(const M& mask, index_t at) {
  { mask.key_range(at, at, at) } -> std::same_as<KeyRange>;
};

/// The keys that a query sees under any mask.
template <AttentionMask Mask>
constexpr KeyRange key_range(const Mask& mask, index_t batch, index_t query, index_t keys) {
  if constexpr (KeyRangeMask<Mask>) {
    return mask.key_range(batch, query, keys);
  } else {
    return {0, static_cast<index_t>(mask.visible_keys(batch, query, keys))};
  }
}

/// bias(head, query, key) is added to the scaled score of a key that the query sees.
template <class M>
concept AttentionBias = AttentionMask<M> && requires(const M& mask, index_t at) {
  { mask.bias(at, at, at) } -> std::convertible_to<float>;
};

/// A mask whose visible_keys() is the same for every query of a batch element says so by a constant,
/// same_keys_for_all_queries: kernels then ask once for all of them.
template <class M>
concept SameKeysForAllQueries = AttentionMask<M> && M::same_keys_for_all_queries;

/// What a mask requires of the numbers of batch elements and query heads.
template <AttentionMask Mask>
void require_mask_fits(const Mask& mask, index_t batch, index_t heads) {
  if constexpr (requires { mask.require_fits(batch, heads); }) mask.require_fits(batch, heads);
}

/// Every query sees every key.
struct FullMask {
  static constexpr bool same_keys_for_all_queries = true;

  constexpr index_t visible_keys(index_t, index_t, index_t keys) const { return keys; }
};

/// Each batch element has its own number of keys; what follows is padding. The lengths lie in the memory of
/// the execution that attends, where the host cannot judge them: one below zero counts as zero, one beyond
/// the keys as all of them.
struct KeyPrefixMask {
  static constexpr bool same_keys_for_all_queries = true;
  VectorView<const index_t> lengths;

  constexpr index_t visible_keys(index_t batch, index_t, index_t keys) const {
    return std::clamp<index_t>(lengths[batch], 0, keys);
  }
  void require_fits(index_t batch, index_t) const {
    require(lengths.size == batch, [&] {
      return "attention: there are " + std::to_string(lengths.size) + " key lengths for a batch of " +
             std::to_string(batch) + "; each element needs one";
    });
    require(lengths.data != nullptr || batch == 0,
            [] { return "attention: the key lengths have no data; FullMask shows all keys"; });
  }
};

/// A query sees itself and the keys before it.
struct CausalMask {
  constexpr index_t visible_keys(index_t, index_t query, index_t keys) const {
    return std::min(query + 1, keys);
  }
};

/// Causal, where `keys_before` keys stand before the first query, as in a cache: query i is token keys_before
/// + i of the keys. With keys_before = keys - queries the last query sees all keys (causal, aligned
/// bottom-right); below zero the first queries see none.
struct BottomRightCausalMask {
  index_t keys_before = 0;

  constexpr index_t visible_keys(index_t, index_t query, index_t keys) const {
    return std::clamp<index_t>(query + 1 + keys_before, 0, keys);
  }
};

/// A number of keys that no window reaches.
inline constexpr index_t unlimited_keys = index_t{1} << 40;

/// What the masks below require of their windows.
inline void require_window(index_t before, index_t after) {
  require(before >= 0 && after >= 0, [&] {
    return "attention: a window of " + std::to_string(before) + " keys before a query and " +
           std::to_string(after) + " after it; 0 or more work, unlimited_keys for all";
  });
}

/// A sliding window: a query sees itself, the `before` keys before it and the `after` keys after it. Query i
/// is token keys_before + i of the keys.
struct WindowMask {
  index_t before, after = 0, keys_before = 0;

  constexpr KeyRange key_range(index_t, index_t query, index_t keys) const {
    const index_t position = query + keys_before;
    const index_t first = std::clamp<index_t>(position - before, 0, keys);
    return {first, std::clamp<index_t>(position + 1 + after, first, keys)};
  }
  constexpr index_t visible_keys(index_t batch, index_t query, index_t keys) const {
    return key_range(batch, query, keys).end;
  }
  void require_fits(index_t, index_t) const { require_window(before, after); }
};

/// Sequences packed one behind the other (cu_seqlens): sequence s has the queries [query_starts[s],
/// query_starts[s + 1]) and the keys [key_starts[s], key_starts[s + 1]), and its queries see its keys alone:
/// a window of them where before and after say one, after = 0 is causal, aligned bottom-right. The starts
/// rise, one more than there are sequences; they lie in the memory of the execution that attends, where the
/// host cannot judge them: what lies outside the keys is left out. Tokens of no sequence see nothing.
struct PackedMask {
  VectorView<const std::int32_t> query_starts, key_starts;
  index_t before = unlimited_keys, after = unlimited_keys;

  constexpr KeyRange key_range(index_t, index_t query, index_t keys) const {
    index_t sequence = -1;  // the last that starts at the query or before it
    for (index_t low = 0, high = query_starts.size; low < high;) {
      const index_t middle = (low + high) / 2;
      if (query_starts[middle] <= query) {
        sequence = middle, low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (sequence < 0) return {0, 0};
    const index_t start = std::clamp<index_t>(key_starts[sequence], 0, keys);
    if (sequence + 1 >= query_starts.size) return {start, start};
    const index_t end = std::clamp<index_t>(key_starts[sequence + 1], start, keys);
    const index_t position = end - query_starts[sequence + 1] + query;  // the last query is at the last key
    const index_t first = std::clamp<index_t>(position - before, start, end);
    return {first, std::clamp<index_t>(position + 1 + after, first, end)};
  }
  constexpr index_t visible_keys(index_t batch, index_t query, index_t keys) const {
    return key_range(batch, query, keys).end;
  }
  void require_fits(index_t, index_t) const {
    require(query_starts.size == key_starts.size, [&] {
      return "attention: sequences have " + std::to_string(query_starts.size) + " starts of queries and " +
             std::to_string(key_starts.size) + " of keys; each sequence needs both, and the last an end";
    });
    require((query_starts.data != nullptr && key_starts.data != nullptr) || query_starts.size == 0,
            [] { return "attention: the starts of sequences have no data"; });
    require_window(before, after);
  }
};

/// Causal, with -slope sqrt(query - key) added: Step-LLM's positions. `slopes` has one entry for each query
/// head and lies in the memory of the execution that attends.
struct SqrtAlibiMask {
  VectorView<const float> slopes;

  constexpr index_t visible_keys(index_t, index_t query, index_t keys) const {
    return std::min(query + 1, keys);
  }
  void require_fits(index_t, index_t heads) const {
    require(slopes.size == heads, [&] {
      return "attention: there are " + std::to_string(slopes.size) + " slopes for " + std::to_string(heads) +
             " query heads; each head needs one";
    });
    require(slopes.data != nullptr || heads == 0,
            [] { return "attention: the slopes have no data; alibi_slope() gives those of each head"; });
  }
  constexpr float bias(index_t head, index_t query, index_t key) const {
    return -slopes[head] * std::sqrt(static_cast<float>(query - key));
  }
};

/// FullMask, or KeyPrefixMask, told apart at run time: one kernel serves both.
struct MaybePrefixMask {
  static constexpr bool same_keys_for_all_queries = true;

  const index_t* lengths = nullptr;  ///< None: every key.

  constexpr index_t visible_keys(index_t batch, index_t, index_t keys) const {
    return lengths == nullptr ? keys : std::max<index_t>(std::min(lengths[batch], keys), 0);
  }
};

static_assert(SameKeysForAllQueries<KeyPrefixMask> && !SameKeysForAllQueries<CausalMask>);

/// The mask that a kernel is compiled for, of the one that attention was called with.
template <AttentionMask Mask>
constexpr const Mask& kernel_mask(const Mask& mask) {
  return mask;
}
constexpr MaybePrefixMask kernel_mask(const FullMask&) {
  return {};
}
constexpr MaybePrefixMask kernel_mask(const KeyPrefixMask& mask) {
  return {mask.lengths.data};
}

/// The slope of head `head` of `heads`. With n the largest power of two not above `heads`: 2^(-8 (head + 1) /
/// n) for the first n heads, then the odd steps of the sequence for 2n heads, 2^(-4 (2 (head - n) + 1) / n)
/// (Press et al., "Train Short, Test Long", for a number of heads that is no power of two).
inline float alibi_slope(int head, int heads) {
  const int n = static_cast<int>(std::bit_floor(static_cast<unsigned>(heads)));
  const double exponent = head < n ? -8.0 * (head + 1) / n : -4.0 * (2 * (head - n) + 1) / n;
  return static_cast<float>(std::exp2(exponent));
}

}  // namespace stepvideo
