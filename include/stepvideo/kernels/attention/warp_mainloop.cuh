// What one warp does with a tile of keys: scores, mask, softmax and weighted values, all in registers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <numbers>

#include <stepvideo/kernels/attention/query_mask.cuh>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/tile/async_copy.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>
#include <stepvideo/kernels/tile/swizzle.hpp>

namespace stepvideo {

/// One warp's queries of one head and their results. Policy says the element, `dim`, and
/// - warp_queries: rows of queries, a multiple of 16;
/// - tile_keys: keys whose scores are in registers at once, a multiple of 16.
template <class Policy>
class WarpQueries {
  using T = typename Policy::Element;
  using Layout = SwizzledRows<Policy::dim * sizeof(T)>;
  static constexpr int tiles = Policy::warp_queries / 16, slices = Policy::dim / 16;
  static constexpr int columns = Policy::tile_keys / 8;
  static constexpr bool is_biased = AttentionBias<typename Policy::Mask>;

 public:
  /// `queries`: the warp's rows in shared memory. `scale` > 0 is what scores are multiplied with.
  __device__ WarpQueries(const std::byte* queries, float scale)
      : lane_(threadIdx.x % 32),
        scale_log2_(scale * std::numbers::log2e_v<float>),
        queries_address_(shared_address(queries) + matrix_rows_first(lane_)) {
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int column = 0; column < Policy::dim / 8; ++column)
#pragma unroll
        for (float& result : results_[tile][column]) result = 0;
  }

  /// scores = queries keys^T, (warp_queries, tile_keys)
  __device__ void score(std::uint32_t keys) {
    const std::uint32_t address = keys + matrix_columns_first(lane_);
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int column = 0; column < columns; ++column)
#pragma unroll
        for (float& score : scores_[tile][column]) score = 0;
#pragma unroll
    for (int slice = 0; slice < slices; ++slice) {
      MmaFragment left[tiles];
#pragma unroll
      for (int tile = 0; tile < tiles; ++tile) left[tile] = load_queries(slice, tile);
#pragma unroll
      for (int pair = 0; pair < columns / 2; ++pair) {
        const MmaFragment right = load_matrices(slice_of(address, slice) + pair * 16 * Layout::row_bytes);
#pragma unroll
        for (int tile = 0; tile < tiles; ++tile) {
          multiply_add<T>(scores_[tile][2 * pair], left[tile], right.words[0], right.words[1]);
          multiply_add<T>(scores_[tile][2 * pair + 1], left[tile], right.words[2], right.words[3]);
        }
      }
    }
  }

  /// Makes room in the softmax for the scores, all of which are seen.
  __device__ void make_room() {
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
      refer_weights(tile, softmax_[tile].fits(scores_of(tile), scores_scale()));
  }
  /// The same where the mask hides some keys of the tile from `first_key` on, or adds a bias; a biased score
  /// is also scaled, to log2 units.
  __device__ void make_room(const QueryMask<typename Policy::Mask>& mask, int first_key) {
    ScoreRows rows = ScoreRows::of(static_cast<int>(lane_), first_key);
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile, rows.row += 16) {
      const VisibleKeys visible = rows.visible(mask);
      if constexpr (is_biased) rows.add_bias(scores_of(tile), scale_log2_, mask, visible);
      const bool fits = softmax_[tile].fits_without_any(scores_of(tile), scores_scale());
      rows.hide(scores_of(tile), visible);
      if constexpr (KeyRangeMask<typename Policy::Mask>)
        rows.hide_before(scores_of(tile), rows.first_keys(mask));
      refer_weights(tile, fits);
    }
  }

  /// results += weights(scores) values. The weights of 16 keys are made while those of the 16 before meet
  /// their values.
  __device__ void accumulate(std::uint32_t values) {
    constexpr int steps = columns / 2, pairs = Policy::dim / 16, words = tiles * 4;
    const std::uint32_t address = values + matrix_rows_first(lane_);
    MmaFragment weights[tiles], next[tiles];
#pragma unroll
    for (int word = 0; word < words; ++word) weights[word / 4].words[word % 4] = weigh(0, word);
#pragma unroll
    for (int step = 0; step < steps; ++step) {
#pragma unroll
      for (int pair = 0; pair < pairs; ++pair) {
        const MmaFragment right =
            load_matrices_transposed(slice_of(address, pair) + step * 16 * Layout::row_bytes);
#pragma unroll
        for (int tile = 0; tile < tiles; ++tile) {
          multiply_add<T>(results_[tile][2 * pair], weights[tile], right.words[0], right.words[1]);
          multiply_add<T>(results_[tile][2 * pair + 1], weights[tile], right.words[2], right.words[3]);
        }
        if (step + 1 < steps) {
#pragma unroll
          for (int word = pair * words / pairs; word < (pair + 1) * words / pairs; ++word)
            next[word / 4].words[word % 4] = weigh(step + 1, word);
        }
      }
      if (step + 1 < steps) {
#pragma unroll
        for (int tile = 0; tile < tiles; ++tile) weights[tile] = next[tile];
      }
    }
  }

  /// Divides by the sums: `store(query, channel, result, the channel's behind it)`.
  template <class Store>
  __device__ void finish_partial(Store&& store) {
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile) {
      softmax_[tile].finish();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float factor = softmax_[tile].normaliser(half);
#pragma unroll
        for (int column = 0; column < Policy::dim / 8; ++column) {
          const float* result = results_[tile][column] + 2 * half;
          store(row_of(tile, half), 8 * column + AccumulatorRows::first_column(static_cast<int>(lane_)),
                result[0] * factor, result[1] * factor);
        }
      }
    }
  }

  /// Divides by the sums and leaves the results, rounded to T, where the queries were.
  __device__ void finish(std::byte* out) {
    __syncwarp();  // other lanes' rows were read from there
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile) {
      softmax_[tile].finish();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float factor = softmax_[tile].normaliser(half);
        const int row = row_of(tile, half);
#pragma unroll
        for (int column = 0; column < Policy::dim / 8; ++column) {
          const float* result = results_[tile][column] + 2 * half;
          *reinterpret_cast<std::uint32_t*>(out + Layout::offset(row, column) + lane_ % 4 * 4) =
              round_pair<T>(result[0] * factor, result[1] * factor);
        }
      }
    }
  }

  /// `store(query, value)` for each of the warp's queries, by one lane; after they are finished.
  template <class Store>
  __device__ void log_sum_exp(Store&& store) const {
    if (lane_ % 4 != 0) return;
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half) store(row_of(tile, half), softmax_[tile].log_sum_exp(half));
  }

 private:
  /// The warp's query that a lane holds in half `half` of a tile's accumulators.
  __device__ int row_of(int tile, int half) const {
    return 16 * tile + 8 * half + AccumulatorRows::first_row(static_cast<int>(lane_));
  }
  /// The row that a lane addresses when a fragment's second matrix lies eight rows below the first (left
  /// operands, and transposed right ones), or eight elements beside it (right operands).
  static __device__ std::uint32_t matrix_rows_first(unsigned lane) {
    return Layout::offset(lane % 16, lane / 16);
  }
  static __device__ std::uint32_t matrix_columns_first(unsigned lane) {
    return Layout::offset(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  }
  /// The address 16 `slice` channels further.
  static __device__ std::uint32_t slice_of(std::uint32_t address, int slice) {
    return address ^ static_cast<std::uint32_t>(slice * 2 * Layout::chunk_bytes);
  }
  __device__ MmaFragment load_queries(int slice, int tile) const {
    return load_matrices(slice_of(queries_address_, slice) + tile * 16 * Layout::row_bytes);
  }
  __device__ float scores_scale() const {
    return is_biased ? 1.0f : scale_log2_;
  }

  __device__ void refer_weights(int tile, bool fits) {
    if (softmax_[tile].make_room(scores_of(tile), scores_scale(), fits))
      softmax_[tile].rescale(reinterpret_cast<float(&)[Policy::dim / 2]>(results_[tile]));
  }
  __device__ float (&scores_of(int tile))[columns * 4] {
    return reinterpret_cast<float(&)[columns * 4]>(scores_[tile]);
  }

  /// Register `word` of the weights' fragments for the 16 keys of `step`: scores of two neighbouring keys.
  __device__ std::uint32_t weigh(int step, int word) {
    const int tile = word / 4, half = word % 2, column = 2 * step + word % 4 / 2;
    const float* scores = scores_[tile][column] + 2 * half;
    return round_pair<T>(softmax_[tile].weigh(scores[0], scores_scale(), half),
                         softmax_[tile].weigh(scores[1], scores_scale(), half));
  }

  unsigned lane_;
  float scale_log2_;
  std::uint32_t queries_address_;
  float scores_[tiles][columns][4];
  float results_[tiles][Policy::dim / 8][4];
  RowSoftmax<T> softmax_[tiles];
};

}  // namespace stepvideo
