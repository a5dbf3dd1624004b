// The computing warpgroups of warpgroup_attention.
#pragma once
#include <cstdint>
#include <numbers>

#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/attention/warpgroup_pipeline.cuh>
#include <stepvideo/kernels/tile/async_copy.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>
#include <stepvideo/kernels/tile/schedule.cuh>

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

  /// Works through the block's share. The next queries' first scores start before the last results are
  /// stored.
  __device__ void run(const AttentionShare& share) {
    if (share.first >= share.end) return;
    Task task = task_at(share.first);
    await_queries();
    start_scores(ring_);
    for (int index = share.first; index < share.end; index += share.step) {
      const bool is_last = index + share.step >= share.end;
      const Task next = is_last ? task : task_at(index + share.step);
      const bool keys_stay =
          !is_last && params_.template keys_stay<Policy>(task.at, task.key_tiles, next.at, next.key_tiles);
      releases_ = thread() == 0 && !keys_stay;
      attend(task);
      if (!keys_stay) ring_ = current_.next();
      keys_stayed_ = keys_stay;

      // After the last task this one's scores start once more, for nobody: a branch around the product would
      // make the assembler wait for it at once.
      const int query_stage = query_ring_.stage;
      if (!is_last) {
        query_ring_.advance();
        await_queries();
      }
      start_scores(is_last ? current_ : ring_);
      finish_results<1>();
      release(shared_.values_free[current_.stage]);
      store(task, query_stage);
      task = next;
    }
    wgmma_wait<0>();
    free_stored_queries();
  }

 private:
  using Scores = Accumulator<Policy::keys>;
  using Stage = RingPosition<Policy::stages>;
  static constexpr int depth_steps = Policy::dim / 16, key_steps = Policy::keys / 16;

  /// Queries at work.
  struct Task {
    AttentionWork at;  // first_query is the warpgroup's
    int key_tiles;
    int seen_by_all;  // keys that every query sees
    int visible[2];   // keys that this thread's queries see
  };

  __device__ Task task_at(int index) const {
    AttentionWork at = params_.work.at(index);
    const int key_tiles = params_.template key_tiles<Policy>(at);
    at.first_query += consumer_ * Policy::consumer_queries;
    return {at, key_tiles, visible_keys(at, 0), {visible_keys(at, row()), visible_keys(at, row() + 8)}};
  }

  __device__ void await_queries() {
    shared_.queries_full[query_ring_.stage][consumer_].wait(query_ring_.parity);
  }

  /// From the first scores to the start of the last results.
  __device__ void attend(const Task& task) {
    softmax_ = {};
    has_results_ = false;
    current_ = ring_;
    finish_scores<0>(current_);
    weigh(task, task.key_tiles - 1);
    take_weights();
    free_stored_queries();
    if (!keys_stayed_) clear_hidden_values(task);
    for (int tile = task.key_tiles - 2; tile >= 0; --tile) {
      const Stage next = current_.next();
      start_scores(next);
      start_results(current_);
      finish_scores<1>(next);
      // Two different waits, so that the branch stays and the exponentials before it: without one the
      // assembler sinks them below the wait for the products whose time they are to fill.
      if (weigh(task, tile)) {
        finish_results<0>();
        softmax_.rescale(results_.at);
      } else {
        finish_results<0>();
      }
      release(shared_.values_free[current_.stage]);
      take_weights();
      current_ = next;
    }
    start_results(current_);
  }

  __device__ int thread() const { return static_cast<int>(threadIdx.x) % Policy::warpgroup; }
  __device__ int lane() const { return static_cast<int>(threadIdx.x) % 32; }
  /// The first of this thread's two queries, relative to the warpgroup's; the other is 8 further.
  __device__ int row() const { return thread() / 32 * 16 + lane() / 4; }

  /// Tells the fetching warpgroup that this one has read a stage.
  __device__ void release(SharedBarrier& free) {
    if (releases_) free.arrive();
  }

  /// scores = queries keys^T
  __device__ void start_scores(Stage stage) {
    shared_.keys_full[stage.stage].wait(stage.parity);
    const auto queries = SharedOperand::along_depth(shared_.queries[query_ring_.stage][consumer_]);
    const auto keys = key_stages_.advanced(stage.stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
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
  __device__ void start_results(Stage stage) {
    shared_.values_full[stage.stage].wait(stage.parity);
    const auto values =
        value_stages_.advanced(stage.stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
    keep_in_place(results_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < key_steps; ++step)
      wgmma<T, Policy::dim, Major::columns>(results_, weights_[step].words, values.advanced(step * 16 * 128),
                                            step > 0 || has_results_);
    wgmma_commit();
    keep_in_place(results_);
    has_results_ = true;
  }

  template <int pending>
  __device__ void finish_scores(Stage stage) {
    wgmma_wait<pending>();
    keep_in_place(scores_);
    release(shared_.keys_free[stage.stage]);
  }

  template <int pending>
  __device__ void finish_results() {
    wgmma_wait<pending>();
    keep_in_place(results_);
  }

  /// scores -> weights, in float32. True where results so far must be rescaled.
  __device__ bool weigh(const Task& task, int tile) {
    const int first_key = tile * Policy::keys;
    float scale_log2 = scale_log2_;
    if constexpr (AttentionBias<typename Policy::Mask>) {
      apply_bias(task, first_key);
      scale_log2 = 1.0f;
    }
    bool fits;
    if (first_key + Policy::keys > task.seen_by_all) {
      fits = softmax_.fits_without_any(scores_.at, scale_log2);
      hide_keys(task, first_key);
    } else {
      fits = softmax_.fits(scores_.at, scale_log2);
    }
    return softmax_.weigh(scores_.at, scale_log2, fits);
  }

  /// The query `row` below the first of `at`; behind the last one, the last: nobody reads those results.
  __device__ int query_at(const AttentionWork& at, int row) const {
    return min(at.first_query + row, params_.query_tokens - 1);
  }
  __device__ int visible_keys(const AttentionWork& at, int row) const {
    return static_cast<int>(params_.mask.visible_keys(at.batch, query_at(at, row), params_.key_tokens));
  }

  __device__ void hide_keys(const Task& task, int first_key) {
    const int column = first_key + lane() % 4 * 2;
    const int visible[2] = {task.visible[0] - column, task.visible[1] - column};
#pragma unroll
    for (int i = 0; i < Scores::size; ++i)
      if (i / 4 * 8 + i % 2 >= visible[i / 2 % 2]) scores_.at[i] = -INFINITY;
  }

  __device__ void apply_bias(const Task& task, int first_key) {
    const int query[2] = {query_at(task.at, row()), query_at(task.at, row() + 8)};
#pragma unroll
    for (int i = 0; i < Scores::size; ++i) {
      const int half = i / 2 % 2, key = first_key + lane() % 4 * 2 + i / 4 * 8 + i % 2;
      const float bias = key < task.visible[half] ? params_.mask.bias(task.at.head, query[half], key) : 0.0f;
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
  __device__ void clear_hidden_values(const Task& task) {
    const int first_key = (task.key_tiles - 1) * Policy::keys;
    const int first = visible_keys(task.at, params_.query_tokens - 1 - task.at.first_query) - first_key;
    const int end = min(params_.key_tokens - first_key, Policy::keys);
    if (first >= end) return;
    shared_.values_full[current_.stage].wait(current_.parity);
    for (int panel = 0; panel < Policy::panels; ++panel) {
      auto* words = reinterpret_cast<uint4*>(shared_.values[current_.stage][panel]);
      for (int word = first * 8 + thread(); word < end * 8; word += Policy::warpgroup) words[word] = uint4{};
    }
    publish_shared_writes();
    named_barrier_wait(1 + consumer_, Policy::warpgroup);
  }

  __device__ void store(const Task& task, int query_stage) {
    softmax_.finish();
    store_log_sum_exp(task.at);
    auto& tile = shared_.queries[query_stage][consumer_];
    const float normalisers[2] = {softmax_.normaliser(0), softmax_.normaliser(1)};
    // Lanes address the 16 rows of their warp, in two neighbouring 16-byte units, which the 128-byte swizzle
    // exchanges by the row's number. Opaque: made anew for every tile of queries, not kept in local memory.
    const int row = opaque(thread() / 32 * 16 + lane() % 16);
    const std::uint32_t address = shared_address(tile[0]) + row * 128 + (lane() / 16 ^ row % 8) * 16;
#pragma unroll
    for (int i = 0; i < decltype(results_)::size; i += 8) {
      MmaFragment pairs;
#pragma unroll
      for (int w = 0; w < 4; ++w)
        pairs.words[w] = round_pair<T>(results_.at[i + 2 * w] * normalisers[w % 2],
                                       results_.at[i + 2 * w + 1] * normalisers[w % 2]);
      const int unit = i / 8 * 2, panel = unit / 8;
      store_matrices((address ^ unit % 8 * 16) + panel * (Policy::consumer_queries * 128), pairs);
    }
    publish_shared_writes();
    named_barrier_wait(1 + consumer_, Policy::warpgroup);
    if (thread() == 0) {
      for (int panel = 0; panel < Policy::panels; ++panel)
        store_box(params_.out,
                  {panel * Policy::panel_elements, task.at.first_query, task.at.head, task.at.batch},
                  tile[panel]);
      store_commit();
    }
    stored_stage_ = query_stage;
  }

  /// Lets the fetching warpgroup have the stage from which the last results were stored. Not at once: the
  /// copy takes its time.
  __device__ void free_stored_queries() {
    if (thread() == 0 && stored_stage_ >= 0) {
      store_wait_read();
      shared_.queries_free[stored_stage_][consumer_].arrive();
    }
    stored_stage_ = -1;
  }

  __device__ void store_log_sum_exp(const AttentionWork& at) {
    if (params_.log_sum_exp.data == nullptr || lane() % 4 != 0) return;
    for (int i = 0; i < 2; ++i) {
      const int query = at.first_query + row() + 8 * i;
      if (query < params_.query_tokens)
        *params_.log_sum_exp.row(at.batch, query, at.head) = softmax_.log_sum_exp(i);
    }
  }

  const Params& params_;
  Shared& shared_;
  int consumer_;
  float scale_log2_;
  SharedOperand key_stages_, value_stages_;
  bool has_results_ = false;
  bool keys_stayed_ = false;  // from the task before
  bool releases_ = false;     // this thread says when a stage is free
  int stored_stage_ = -1;
  RowSoftmax<T> softmax_;
  Scores scores_;
  Accumulator<Policy::dim> results_;
  MmaFragment weights_[key_steps];
  Stage ring_, current_;  // of the task's first key tile, of the tile whose weights are at hand
  RingPosition<Policy::query_stages> query_ring_;
};

}  // namespace stepvideo
