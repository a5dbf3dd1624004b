// The computing warpgroups of fp8_attention.
#pragma once
#include <cstdint>
#include <numbers>

#include <stepvideo/kernels/attention/fp8_epilogue.cuh>
#include <stepvideo/kernels/attention/fp8_pipeline.cuh>
#include <stepvideo/kernels/attention/fp8_softmax.cuh>
#include <stepvideo/kernels/attention/query_mask.cuh>
#include <stepvideo/kernels/tile/convert_fp8.cuh>
#include <stepvideo/kernels/tile/schedule.cuh>

namespace stepvideo {

/// 64 queries of one head after another, for one warpgroup. While its softmax runs, the tensor cores work on
/// its own last weights and values, and on the other warpgroup's products.
template <class Policy>
class Fp8Consumer {
 public:
  using Params = Fp8AttentionParams<Policy>;
  using Shared = Fp8AttentionShared<Policy>;

  __device__ Fp8Consumer(const Params& params, Shared& shared, int consumer)
      : params_(params),
        shared_(*opaque(&shared)),
        consumer_(consumer),
        queries_(SharedOperand::along_depth(shared_.queries[consumer])),
        keys_(SharedOperand::along_depth(shared_.keys[0])),
        values_(SharedOperand::along_depth(&shared_.values[0])) {
    if (consumer == Policy::consumers - 1) pass_turn();
  }

  __device__ void attend(const AttentionWork& work) {
    const int tiles = begin(work);
    if (tiles > 0) {
      start_scores();
      finish_scores<0>();
      weigh(tiles - 1, weights_[0]);
      int tile = tiles - 2;
      for (; tile > 0; tile -= 2) {
        attend(tile, weights_[0], weights_[1]);
        attend(tile - 1, weights_[1], weights_[0]);
      }
      if (tile == 0) {
        attend(0, weights_[0], weights_[1]);
        start_results(weights_[1]);
      } else {
        start_results(weights_[0]);
      }
      finish_results();
      for (int tile_left = min(tiles, 2); tile_left > 0; --tile_left) release_values();
      fold_sum();
    }
    if (threadIdx.x % Policy::warpgroup == 0) shared_.queries_free[consumer_].arrive();
    query_parity_ ^= 1;
    AttentionWork of_thread = at_;
    of_thread.first_query += AccumulatorRows::first_row(thread());
    store_fp8_results<Policy>(params_, of_thread, softmax_, sum_.at, row_sums_);
  }

 private:
  using Weights = std::uint32_t[Policy::keys / 32][4];
  using Scores = Accumulator<Policy::keys>;
  using Sum = Accumulator<Policy::dim + Policy::ones>;  // the last columns all hold the sum of the weights
  static constexpr int depth_steps = Policy::dim / 32, key_steps = Policy::keys / 32;

  __device__ int thread() const { return static_cast<int>(threadIdx.x) % Policy::warpgroup; }

  // The warpgroups' exponentials take turns, so that one's run beside the other's products and maxima: both
  // at once would take twice as long. Named barrier 1 + c lets warpgroup c go.
  __device__ void wait_turn() { named_barrier_wait(1 + consumer_, 2 * Policy::warpgroup); }
  __device__ void pass_turn() { named_barrier_arrive(2 - consumer_, 2 * Policy::warpgroup); }

  /// Makes the weights of a tile, while the tensor cores work on those of the tile before it. That product
  /// ends within the next call: sums in the tensor cores need no wait, only what reads or changes them does.
  __device__ void attend(int tile, const Weights& last, Weights& weights) {
    start_scores();
    start_results(last);
    finish_scores<1>();
    if (has_older_results_) release_values();
    has_older_results_ = true;
    look_ahead();
    const bool rose = weigh(tile, weights), ends_run = (tile + 1) % Policy::tiles_per_sum == 0;
    if (rose || ends_run) {
      finish_results();
      if (rose) rescale();
      if (ends_run) fold_sum();
    }
  }

  /// Returns the number of key tiles.
  __device__ int begin(const AttentionWork& work) {
    const int tiles =
        __shfl_sync(0xFFFFFFFFu, params_.key_tiles(work), 0);  // the compiler learns it is uniform
    at_ = work;
    at_.first_query += consumer_ * Policy::consumer_queries;
    seen_by_all_ = mask().visible_keys(0);
    softmax_ = {};
    begins_sum_ = true;
    has_results_ = has_keys_ = has_values_ = has_older_results_ = false;
    row_sums_[0] = row_sums_[1] = 0;
    factors_[0] = factors_[1] = 1;
    if (tiles > 0) {
      const int block = work.first_query / Policy::queries;
      scale_log2_ = *params_.query_scales.row(at_.batch, block, at_.head) * params_.scale *
                    std::numbers::log2e_v<float>;
      key_scales_ = params_.key_scales.row(at_.batch, tiles - 1, at_.key_head);
      key_scale_ = *key_scales_;
    }
    shared_.queries_full[consumer_].wait(query_parity_);
    return tiles;
  }

  /// Tells the producer that this warpgroup has read the stage.
  __device__ void release(SharedBarrier& free) {
    if (threadIdx.x % Policy::warpgroup == 0) free.arrive();
  }

  /// Asks whether the next keys and values are there, long before they are needed: the answer takes its time.
  __device__ void look_ahead() {
    has_keys_ = shared_.keys_full[keys_ring_.stage].has_ended(keys_ring_.parity);
    has_values_ = shared_.values_full[values_ring_.stage].has_ended(values_ring_.parity);
  }

  /// scores = queries keys^T
  __device__ void start_scores() {
    if (!has_keys_) shared_.keys_full[keys_ring_.stage].wait(keys_ring_.parity);
    const SharedOperand keys =
        keys_.advanced(keys_ring_.stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
    keep_in_place(scores_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < depth_steps; ++step)
      wgmma<fp8_e4m3>(scores_, queries_.advanced(step * 32), keys.advanced(step * 32), step > 0);
    wgmma_commit();
    keep_in_place(scores_);
  }

  template <int pending>
  __device__ void finish_scores() {
    wgmma_wait<pending>();
    keep_in_place(scores_);
    release(shared_.keys_free[keys_ring_.stage]);
    keys_ring_.advance();
  }

  /// sum += weights values, from zero where a sum begins.
  __device__ void start_results(const Weights& weights) {
    if (!has_values_) shared_.values_full[values_ring_.stage].wait(values_ring_.parity);
    const SharedOperand values =
        values_.advanced(values_ring_.stage * static_cast<int>(sizeof(typename Shared::ValueTile)));
    keep_in_place(sum_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < key_steps; ++step)
      wgmma<fp8_e4m3, Sum::columns, Major::depth>(sum_, weights[step], values.advanced(step * 32),
                                                  step > 0 || !begins_sum_);
    wgmma_commit();
    keep_in_place(sum_);
    begins_sum_ = false;
    values_ring_.advance();
  }

  __device__ void finish_results() {
    wgmma_wait<0>();
    keep_in_place(sum_);
  }

  __device__ void release_values() {
    release(shared_.values_free[read_values_ring_.stage]);
    read_values_ring_.advance();
  }

  /// Carries the sum, and the results before it, over to new references. Warps rise alone.
  __device__ void rescale() {
#pragma unroll
    for (int i = 0; i < Sum::size; ++i) sum_.at[i] *= softmax_.factor(i / 2 % 2);
#pragma unroll
    for (int r = 0; r < 2; ++r) factors_[r] *= softmax_.factor(r);
  }

  /// The end of a run of tiles: sum = results + sum, which then are the results, and rest in shared memory;
  /// in float32.
  __device__ void fold_sum() {
    auto* results = &shared_.results[consumer_][0][threadIdx.x % Policy::warpgroup];
#pragma unroll
    for (int i = 0; i < Scores::size; i += 4) {
      float4 result{};
      if (has_results_) result = results[i / 4 * Policy::warpgroup];
      float* sum = sum_.at + i;
      sum[0] = fmaf(result.x, factors_[0], sum[0]), sum[1] = fmaf(result.y, factors_[0], sum[1]);
      sum[2] = fmaf(result.z, factors_[1], sum[2]), sum[3] = fmaf(result.w, factors_[1], sum[3]);
      results[i / 4 * Policy::warpgroup] = {sum[0], sum[1], sum[2], sum[3]};
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      row_sums_[r] = fmaf(row_sums_[r], factors_[r], sum_.at[Policy::dim / 2 + 2 * r]);
      factors_[r] = 1;
    }
    has_results_ = true;
    begins_sum_ = true;
  }

  /// The weights of a tile's scores. True where results so far must be rescaled.
  __device__ bool weigh(int tile, Weights& weights) {
    const int first_key = tile * Policy::keys;
    float scale_log2 = scale_log2_ * key_scale_;
    // The next tile's, long before it is needed.
    key_scales_ -= params_.key_scales.token_stride;
    if (tile > 0) key_scale_ = *key_scales_;
    const ScoreRows rows = ScoreRows::of(thread(), first_key);
    const auto visible = [&] { return rows.visible(mask()); };
    if constexpr (AttentionBias<typename Policy::Mask>) {
      rows.add_bias(scores_.at, scale_log2, mask(), visible());
      scale_log2 = 1.0f;
    }
    if (first_key + Policy::keys > seen_by_all_) rows.hide(scores_.at, visible());
    const bool rose = softmax_.make_room(scores_.at, scale_log2);
    wait_turn();
    softmax_.weigh(scores_.at, scale_log2);
    round_weights(weights);
    pass_turn();
    return rose;
  }

  __device__ QueryMask<typename Policy::Mask> mask() const {
    return {.mask = params_.mask,
            .batch = at_.batch,
            .head = at_.head,
            .first_query = at_.first_query,
            .last_query = static_cast<int>(params_.out.tokens) - 1,
            .keys = params_.key_tokens};
  }

  /// Rounds the weights to fp8, as the left operand of the next product: with q the thread's place in its
  /// quad, its four bytes are the keys 2 q, 2 q + 1, 2 q + 8 and 2 q + 9 of 16, which
  /// quantized_value_position made neighbours.
  __device__ void round_weights(Weights& weights) {
#pragma unroll
    for (int step = 0; step < key_steps; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* of_run = scores_.at + 16 * step + i / 2 * 8 + i % 2 * 2;
        weights[step][i] = convert_four_to_fp8(of_run[0], of_run[1], of_run[4], of_run[5]);
      }
  }

  const Params& params_;
  Shared& shared_;
  int consumer_;
  SharedOperand queries_, keys_, values_;  // of the first stages
  AttentionWork at_{};                     // first_query is the warpgroup's
  int seen_by_all_ = 0;                    // keys that every query of the warpgroup sees
  float scale_log2_ = 0, key_scale_ = 0;
  const float* key_scales_ = nullptr;
  Fp8RowSoftmax softmax_;
  Scores scores_;
  Weights weights_[2];
  Sum sum_;  // of weights and values, of the last run of tiles
  bool begins_sum_ = true, has_results_ = false, has_keys_ = false, has_values_ = false,
       has_older_results_ = false;
  float row_sums_[2], factors_[2];  // what the results before the sum are still to be multiplied with
  RingPosition<Policy::stages> keys_ring_, values_ring_, read_values_ring_;
  std::uint32_t query_parity_ = 0;
};

}  // namespace stepvideo
