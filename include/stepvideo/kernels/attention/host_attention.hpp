// The host's attention for one tile of queries: packing, scores, softmax, results.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/attention/host_tile.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/softmax_state.hpp>
#include <stepvideo/kernels/tile/exp.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// The widest head the host attends with; it bounds the tiles on the stack, 0.8 MB a thread.
inline constexpr index_t host_attention_max_dim = 512;

}  // namespace stepvideo

namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Tokens of a tile. 96 queries are two register tiles; a key tile of 64 x 64 floats is a third of L1.
struct TilePolicy {
  static constexpr index_t queries = 96, keys = 64;
  static_assert(queries % simd_floats == 0 && keys % RegisterTile::rows == 0);
};

constexpr index_t round_up(index_t value, index_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Some tokens of one head, as rows.
template <class T>
MatrixView<T> head_rows(HeadsView<T> view, index_t batch, index_t head, index_t first, index_t count) {
  return {view.row(batch, first, head), count, view.dim, view.token_stride};
}

/// A mask, as one tile of queries sees it.
template <class Mask>
struct MaskAt {
  const Mask& mask;
  index_t batch, head, first_query, keys;

  KeyRange key_range(index_t query) const {
    return stepvideo::key_range(mask, batch, first_query + query, keys);
  }
};

/// One tile of queries of one head: it attends to tiles of keys one after another.
class QueryTile {
 public:
  template <class T>
  QueryTile(MatrixView<const T> queries, float scale)
      : count_(queries.rows), lanes_(round_up(queries.rows, simd_floats)), dim_(queries.columns) {
    for (index_t query = 0; query < lanes_; query += simd_floats) {
      index_t channel = 0;
      for (; channel + simd_floats <= dim_; channel += simd_floats) {
        Square square;
        for (int i = 0; i < simd_floats; ++i)
          square.rows[i] =
              query + i < count_ ? load_floats(queries.row(query + i) + channel) * scale : FloatVector{};
        square.transpose();
        for (int i = 0; i < simd_floats; ++i)
          store_floats(queries_ + (channel + i) * lanes_ + query, square.rows[i]);
      }
      for (; channel < dim_; ++channel)
        for (int i = 0; i < simd_floats; ++i)
          queries_[channel * lanes_ + query + i] =
              query + i < count_ ? float(queries.row(query + i)[channel]) * scale : 0.0f;
    }
    std::fill_n(states_, lanes_, SoftmaxState{});
  }

  /// Attends to the keys [first, first + count) of a head.
  template <class T, class Mask>
  void attend(MatrixView<const T> keys, MatrixView<const T> values, index_t first, index_t count,
              const MaskAt<Mask>& mask) {
    const index_t key_rows = round_up(count, RegisterTile::rows), rows = round_up(dim_, RegisterTile::rows);
    pack(keys, first, count, keys_);      // (key_rows, stride())
    pack(values, first, count, values_);  // (key_rows, stride())
    outer_products(keys_, stride(), 1, key_rows, queries_, dim_, lanes_, nullptr, scores_);
    soften(first, count, mask);
    outer_products(values_, 1, stride(), rows, scores_, count, lanes_, is_empty_ ? nullptr : factors_,
                   results_);
    is_empty_ = false;
  }

  template <class T>
  void store(MatrixView<T> out) const {
    for (index_t query = 0; query < lanes_; query += simd_floats) {
      const index_t rows = std::min<index_t>(simd_floats, count_ - query);
      index_t channel = 0;
      for (; channel + simd_floats <= dim_; channel += simd_floats) {
        Square square;
        for (int i = 0; i < simd_floats; ++i)
          square.rows[i] = is_empty_ ? FloatVector{} : load_floats(results_ + (channel + i) * lanes_ + query);
        square.transpose();
        for (index_t i = 0; i < rows; ++i)
          store_scaled(square.rows[i], states_[query + i], out.row(query + i) + channel);
      }
      for (; channel < dim_; ++channel)
        for (index_t i = 0; i < rows; ++i)
          out.row(query + i)[channel] =
              is_empty_ ? T(0.0f)
                        : T(results_[channel * lanes_ + query + i] * inverse_sum(states_[query + i]));
    }
  }

  void store_log_sum_exp(MatrixView<float> out) const {
    for (index_t query = 0; query < count_; ++query) *out.row(query) = states_[query].log_sum_exp();
  }

 private:
  /// Floats from one packed token to the next; off the powers of two that would share a cache set.
  index_t stride() const { return round_up(dim_, RegisterTile::rows) + 16; }

  /// Zeros where there is no value, since results may still be multiplied by infinity or NaN in rows nobody
  /// reads.
  static float inverse_sum(const SoftmaxState& state) { return state.is_empty() ? 0.0f : 1.0f / state.sum; }

  template <class T>
  static void store_scaled(FloatVector row, const SoftmaxState& state, T* out) {
    row *= inverse_sum(state);
    for (int i = 0; i < simd_floats; ++i) round_into(out[i], row[i]);
  }

  /// Tokens as dense float rows, padded with zeros to whole register tiles.
  template <class T>
  void pack(MatrixView<const T> tokens, index_t first, index_t count, float* packed) const {
    const index_t rows = round_up(count, RegisterTile::rows), columns = round_up(dim_, RegisterTile::rows);
    for (index_t row = 0; row < rows; ++row) {
      float* target = packed + row * stride();
      index_t column = 0;
      if (row < count) {
        const T* source = tokens.row(first + row);
#pragma omp simd
        for (index_t i = 0; i < dim_; ++i) target[i] = float(source[i]);
        column = dim_;
      }
      std::fill(target + column, target + columns, 0.0f);
    }
  }

  /// scores -> exp(score - max), with the states raised to the new maxima; a hidden key's weight is zero.
  template <class Mask>
  void soften(index_t first, index_t count, const MaskAt<Mask>& mask) {
    alignas(64) float maxima[TilePolicy::queries];
    alignas(64) int visible[TilePolicy::queries] = {}, hidden[TilePolicy::queries] = {};
    std::fill_n(maxima, lanes_, SoftmaxState::no_score);
    const auto in_tile = [&](index_t key) {
      return static_cast<int>(std::clamp<index_t>(key - first, 0, count));
    };
    for (index_t q = 0; q < lanes_; ++q) {
      // Padding lanes see what the last query sees; nobody reads their results.
      const KeyRange range = mask.key_range(std::min(q, count_ - 1));
      visible[q] = in_tile(range.end);
      if constexpr (KeyRangeMask<Mask>) hidden[q] = in_tile(range.first);
    }
    const bool hides_some = visible[0] < count || hidden[lanes_ - 1] > 0;
    const auto sees = [&](index_t q, index_t key) {
      if constexpr (KeyRangeMask<Mask>) return bool(int(key >= hidden[q]) & int(key < visible[q]));
      return key < visible[q];
    };

    for (index_t key = 0; key < count; ++key) {
      float* scores = scores_ + key * lanes_;
      if constexpr (AttentionBias<Mask>) {
        for (index_t q = 0; q < count_; ++q)
          if (sees(q, key)) scores[q] += mask.mask.bias(mask.head, mask.first_query + q, first + key);
      }
      if (hides_some) {
#pragma omp simd
        for (index_t q = 0; q < lanes_; ++q) scores[q] = sees(q, key) ? scores[q] : SoftmaxState::no_score;
      }
#pragma omp simd
      for (index_t q = 0; q < lanes_; ++q) maxima[q] = scores[q] > maxima[q] ? scores[q] : maxima[q];
    }
    for (index_t q = 0; q < lanes_; ++q) {
      factors_[q] = states_[q].raise_to(maxima[q]);
      maxima[q] = states_[q].max;
    }
    alignas(64) float sums[TilePolicy::queries] = {};
    for (index_t key = 0; key < count; ++key) {
      float* scores = scores_ + key * lanes_;
#pragma omp simd
      for (index_t q = 0; q < lanes_; ++q) {
        const float weight = fast_exp(scores[q] - maxima[q]);
        scores[q] = sees(q, key) ? weight : 0.0f;
        sums[q] += scores[q];
      }
    }
    for (index_t q = 0; q < lanes_; ++q) states_[q].sum += sums[q];
  }

  static constexpr index_t max_stride = host_attention_max_dim + 16;

  index_t count_, lanes_, dim_;
  bool is_empty_ = true;
  SoftmaxState states_[TilePolicy::queries];
  alignas(64) float factors_[TilePolicy::queries];
  alignas(64) float queries_[host_attention_max_dim * TilePolicy::queries];  // (dim, lanes)
  alignas(64) float results_[host_attention_max_dim * TilePolicy::queries];  // (dim, lanes)
  alignas(64) float keys_[TilePolicy::keys * max_stride];
  alignas(64) float values_[TilePolicy::keys * max_stride];
  alignas(64) float scores_[TilePolicy::keys * TilePolicy::queries];  // (keys, lanes)
};

}  // namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET
