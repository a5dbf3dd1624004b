// The computing warpgroups of warpgroup_attention.
#pragma once
#include <cstdint>
#include <numbers>

#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/attention/warpgroup_pipeline.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>

namespace stepvideo {

/// 64 queries of one head after another, for one warpgroup. While its softmax runs, the tensor cores work on
/// its own last weights and values, and on the products of the other warpgroups.
template <class Policy>
class AttentionConsumer {
 public:
  using T = typename Policy::Element;
  using Params = WarpgroupAttentionParams<typename Policy::Mask>;
  using Shared = WarpgroupAttentionShared<Policy>;

  __device__ AttentionConsumer(const Params& params, Shared& shared, int consumer)
      : params_(params),
        shared_(shared),
        consumer_(consumer),
        scale_log2_(params.scale * std::numbers::log2e_v<float>),
        key_stages_(SharedOperand::along_depth(shared.keys)),
        value_stages_(SharedOperand::along_columns(shared.values, Policy::keys * 128)) {}

  /// `keys_stay`: the next work finds keys and values where they are.
  __device__ void attend(const AttentionWork& work, bool keys_stay) {
    const int tiles = params_.template key_tiles<Policy>(work);
    at_ = {work.batch, work.head, work.first_query + consumer_ * Policy::consumer_queries};
    seen_by_all_ = visible_keys(0);
    releases_ = thread() == 0 && !keys_stay;
    softmax_ = {};
#pragma unroll
    for (float& result : results_.at) result = 0;

    shared_.queries_full[query_ring_.stage][consumer_].wait(query_ring_.parity);
    if (tiles > 0) {
      RingPosition<Policy::stages> current = ring_;  // the stage of the tile whose weights are at hand
      start_scores(current.stage, current.parity);
      finish_scores<0>(current.stage);
      weigh(tiles - 1);
      take_weights();
      clear_hidden_values(tiles - 1, current);
      for (int tile = tiles - 2; tile >= 0; --tile) {
        const RingPosition<Policy::stages> next = current.next();
        start_scores(next.stage, next.parity);
        start_results(current.stage, current.parity);
        finish_scores<1>(next.stage);
        // Two different waits, so that the branch stays and the exponentials before it: without one the
        // assembler sinks them below the wait for the products whose time they are to fill.
        if (weigh(tile)) {
          finish_results<0>();
          softmax_.rescale(results_.at);
        } else {
          finish_results<0>();
        }
        release(shared_.values_free[current.stage]);
        take_weights();
        current = next;
      }
      start_results(current.stage, current.parity);
      finish_results<0>();
      release(shared_.values_free[current.stage]);
      if (!keys_stay) ring_ = current.next();
    }
    store();
    query_ring_.advance();
  }

 private:
  using Scores = Accumulator<Policy::keys>;
  static constexpr int depth_steps = Policy::dim / 16, key_steps = Policy::keys / 16;

  __device__ int thread() const {
    return static_cast<int>(threadIdx.x) % Policy::warpgroup;
  }
  __device__ int lane() const {
    return static_cast<int>(threadIdx.x) % 32;
  }
  /// The first of this thread's two queries, relative to the warpgroup's; the other is 8 further.
  __device__ int row() const {
    return thread() / 32 * 16 + lane() / 4;
  }

  /// Tells the fetching warpgroup that this one has read a stage.
  __device__ void release(SharedBarrier& free) {
    if (releases_) free.arrive();
  }

  /// scores = queries keys^T
  __device__ void start_scores(int stage, std::uint32_t parity) {
    shared_.keys_full[stage].wait(parity);
    const auto queries = SharedOperand::along_depth(shared_.queries[query_ring_.stage][consumer_]);
    const auto keys = key_stages_.advanced(stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
    keep_in_place(scores_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < depth_steps; ++step) {
      const int panel = step / 4, offset = step % 4 * 32;
      wgmma<T>(scores_, queries.advanced(panel * Policy::consumer_queries * 128 + offset),
               keys.advanced(panel * Policy::keys * 128 + offset), step > 0);
    }
    wgmma_commit();
    keep_in_place(scores_);
  }

  /// results += weights values
  __device__ void start_results(int stage, std::uint32_t parity) {
    shared_.values_full[stage].wait(parity);
    const auto values = value_stages_.advanced(stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
    keep_in_place(results_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < key_steps; ++step)
      wgmma<T, Policy::dim, Major::columns>(results_, weights_[step].words, values.advanced(step * 16 * 128),
                                            true);
    wgmma_commit();
    keep_in_place(results_);
  }

  template <int pending>
  __device__ void finish_scores(int stage) {
    wgmma_wait<pending>();
    keep_in_place(scores_);
    release(shared_.keys_free[stage]);
  }

  template <int pending>
  __device__ void finish_results() {
    wgmma_wait<pending>();
    keep_in_place(results_);
  }

  /// scores -> weights, in float32. True where results so far must be rescaled.
  __device__ bool weigh(int tile) {
    const int first_key = tile * Policy::keys;
    float scale_log2 = scale_log2_;
    if constexpr (AttentionBias<typename Policy::Mask>) {
      apply_bias(first_key);
      scale_log2 = 1.0f;
    }
    if (first_key + Policy::keys > seen_by_all_) hide_keys(first_key);
    return softmax_.weigh(scores_.at, scale_log2);
  }

  /// The query `row` below the warpgroup's first; behind the last one, the last: nobody reads those results.
  __device__ int query_at(int row) const {
    return min(at_.first_query + row, params_.query_tokens - 1);
  }
  __device__ int visible_keys(int row) const {
    return static_cast<int>(params_.mask.visible_keys(at_.batch, query_at(row), params_.key_tokens));
  }

  __device__ void hide_keys(int first_key) {
    const int column = first_key + lane() % 4 * 2;
    const int visible[2] = {visible_keys(row()) - column, visible_keys(row() + 8) - column};
#pragma unroll
    for (int i = 0; i < Scores::size; ++i)
      if (i / 4 * 8 + i % 2 >= visible[i / 2 % 2]) scores_.at[i] = -INFINITY;
  }

  __device__ void apply_bias(int first_key) {
    const int query[2] = {query_at(row()), query_at(row() + 8)};
    const int visible[2] = {visible_keys(row()), visible_keys(row() + 8)};
#pragma unroll
    for (int i = 0; i < Scores::size; ++i) {
      const int half = i / 2 % 2, key = first_key + lane() % 4 * 2 + i / 4 * 8 + i % 2;
      const float bias = key < visible[half] ? params_.mask.bias(at_.head, query[half], key) : 0.0f;
      scores_.at[i] = fmaf(scores_.at[i], scale_log2_, bias * std::numbers::log2e_v<float>);
    }
  }

  /// Rounds the weights to T, as the left operand of the next product: accumulators have its layout already.
  __device__ void take_weights() {
#pragma unroll
    for (int step = 0; step < key_steps; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        weights_[step].words[i] =
            round_pair<T>(scores_.at[8 * step + 2 * i], scores_.at[8 * step + 2 * i + 1]);
  }

  /// Values of padding, which no query sees, have weight zero, but zero times an infinity is not zero: they
  /// are cleared. All warpgroups write the same zeros. What lies past the tensor's end is zero already.
  __device__ void clear_hidden_values(int tile, RingPosition<Policy::stages> at) {
    const int seen = params_.mask.visible_keys(at_.batch, params_.query_tokens - 1, params_.key_tokens);
    const int first = seen - tile * Policy::keys;
    const int end = min(params_.key_tokens - tile * Policy::keys, Policy::keys);
    if (first >= end) return;
    shared_.values_full[at.stage].wait(at.parity);
    for (int panel = 0; panel < Policy::panels; ++panel) {
      auto* words = reinterpret_cast<uint4*>(shared_.values[at.stage][panel]);
      for (int word = first * 8 + thread(); word < end * 8; word += Policy::warpgroup) words[word] = uint4{};
    }
    publish_shared_writes();
    named_barrier_wait(1 + consumer_, Policy::warpgroup);
  }

  __device__ void store() {
    softmax_.finish();
    store_log_sum_exp();
    auto& tile = shared_.queries[query_ring_.stage][consumer_];
    const float normalisers[2] = {softmax_.normaliser(0), softmax_.normaliser(1)};
#pragma unroll
    for (int i = 0; i < decltype(results_)::size; i += 2) {
      const int channel = i / 4 * 8 + lane() % 4 * 2, query = row() + i / 2 % 2 * 8;
      const float normaliser = normalisers[i / 2 % 2];
      // The 128-byte swizzle exchanges the 16-byte units of a row by the row's number.
      const int unit = channel % Policy::panel_elements / 8 ^ query % 8;
      auto* target =
          tile[channel / Policy::panel_elements] + query * Policy::panel_elements + unit * 8 + channel % 8;
      *reinterpret_cast<std::uint32_t*>(target) =
          round_pair<T>(results_.at[i] * normaliser, results_.at[i + 1] * normaliser);
    }
    publish_shared_writes();
    named_barrier_wait(1 + consumer_, Policy::warpgroup);
    if (thread() == 0) {
      for (int panel = 0; panel < Policy::panels; ++panel)
        store_box(params_.out, {panel * Policy::panel_elements, at_.first_query, at_.head, at_.batch},
                  tile[panel]);
      store_commit();
      store_wait_read();
      shared_.queries_free[query_ring_.stage][consumer_].arrive();
    }
  }

  __device__ void store_log_sum_exp() {
    if (params_.log_sum_exp.data == nullptr || lane() % 4 != 0) return;
    for (int i = 0; i < 2; ++i) {
      const int query = at_.first_query + row() + 8 * i;
      if (query < params_.query_tokens)
        *params_.log_sum_exp.row(at_.batch, query, at_.head) = softmax_.log_sum_exp(i);
    }
  }

  const Params& params_;
  Shared& shared_;
  int consumer_;
  float scale_log2_;
  SharedOperand key_stages_, value_stages_;
  AttentionWork at_{};     // first_query is the warpgroup's
  int seen_by_all_ = 0;    // keys that all its queries see
  bool releases_ = false;  // this thread speaks for the warpgroup
  RowSoftmax<T> softmax_;
  Scores scores_;
  Accumulator<Policy::dim> results_;
  MmaFragment weights_[key_steps];
  RingPosition<Policy::stages> ring_;
  RingPosition<Policy::query_stages> query_ring_;
};

}  // namespace stepvideo
