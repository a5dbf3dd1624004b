// A mask as a tile of queries sees it, and what it does to scores in accumulator registers.
#pragma once
#include <array>
#include <cmath>
#include <numbers>

#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>

namespace stepvideo {

/// A mask, as the queries of one head from `first_query` on see it.
template <class Mask>
struct QueryMask {
  Mask mask;
  int batch, head, first_query, last_query, keys;

  /// The query `row` below the first; behind the last one, the last: nobody reads those results.
  __device__ int query_at(int row) const { return min(first_query + row, last_query); }
  __device__ int visible_keys(int row) const {
    return static_cast<int>(mask.visible_keys(batch, query_at(row), keys));
  }
  /// The first key that the query sees, where the mask is a KeyRangeMask.
  __device__ int first_key(int row) const {
    return static_cast<int>(mask.key_range(batch, query_at(row), keys).first);
  }
};

/// How many keys the queries of a thread's two rows see.
using VisibleKeys = std::array<int, 2>;

/// The first keys that they see.
using FirstKeys = std::array<int, 2>;

/// A thread's part of a tile of scores, laid out as AccumulatorRows says: the queries `row` and row + 8, keys
/// from `first_key` on.
struct ScoreRows {
  int row, first_key;

  /// Of the tile of keys from `first_key` on.
  static __device__ ScoreRows of(int thread, int first_key) {
    return {AccumulatorRows::first_row(thread), first_key + AccumulatorRows::first_column(thread)};
  }

  template <class Mask>
  __device__ VisibleKeys visible(const QueryMask<Mask>& mask) const {
    return {mask.visible_keys(row), mask.visible_keys(row + 8)};
  }

  /// The first key that each query sees.
  template <class Mask>
  __device__ FirstKeys first_keys(const QueryMask<Mask>& mask) const {
    return {mask.first_key(row), mask.first_key(row + 8)};
  }

  /// Hides the keys that are not visible.
  template <int size>
  __device__ void hide(float (&scores)[size], VisibleKeys visible) const {
    const int seen[2] = {visible[0] - first_key, visible[1] - first_key};
#pragma unroll
    for (int i = 0; i < size; ++i)
      if (Layout::column_of(i) >= seen[Layout::row_of(i)]) scores[i] = -INFINITY;
  }

  /// Hides the keys before the first ones.
  template <int size>
  __device__ void hide_before(float (&scores)[size], FirstKeys first) const {
    const int begin[2] = {first[0] - first_key, first[1] - first_key};
#pragma unroll
    for (int i = 0; i < size; ++i)
      if (Layout::column_of(i) < begin[Layout::row_of(i)]) scores[i] = -INFINITY;
  }

  /// Scales the scores, to log2 units, and adds the mask's bias where the key is visible.
  template <int size, class Mask>
  __device__ void add_bias(float (&scores)[size], float scale_log2, const QueryMask<Mask>& mask,
                           VisibleKeys visible) const {
    const int query[2] = {mask.query_at(row), mask.query_at(row + 8)};
#pragma unroll
    for (int i = 0; i < size; ++i) {
      const int key = first_key + Layout::column_of(i), half = Layout::row_of(i);
      const float bias = key < visible[half] ? mask.mask.bias(mask.head, query[half], key) : 0.0f;
      scores[i] = fmaf(scores[i], scale_log2, bias * std::numbers::log2e_v<float>);
    }
  }

 private:
  using Layout = AccumulatorRows;
};

}  // namespace stepvideo
