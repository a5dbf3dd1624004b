// The computing warpgroups of warpgroup_attention.
#pragma once
#include <numbers>
#include <type_traits>

#include <stepvideo/kernels/attention/query_mask.cuh>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/attention/warpgroup_epilogue.cuh>
#include <stepvideo/kernels/attention/warpgroup_pipeline.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>

namespace stepvideo {

/// 64 queries of one head after another, for one warpgroup. While its softmax runs, the tensor cores work on
/// its own last weights and values, and on the products of the other warpgroups.
template <class Policy>
class AttentionConsumer {
 public:
  using T = typename Policy::Element;
  using Params = WarpgroupAttentionParams<typename Policy::Mask, typename Policy::Results>;
  using Shared = WarpgroupAttentionShared<Policy>;

  __device__ AttentionConsumer(const Params& params, Shared& shared, int consumer)
      : params_(params),
        shared_(shared),
        consumer_(consumer),
        scale_log2_(params.scale * std::numbers::log2e_v<float>),
        key_stages_(SharedOperand::along_depth(shared.keys)),
        value_stages_(SharedOperand::along_columns(shared.values, Policy::keys * 128)),
        epilogue_(params, shared, consumer) {}

  /// Works through the block's share.
  __device__ void run(AttentionShare share) {
    while (!share.is_done()) {
      // Told apart here and not at every tile of queries: the assembler waits at once for a product that
      // starts behind a branch.
      if constexpr (Policy::has_short_rests) {
        if (task_of(share.work()).has_short_rest) {
          run_alike<Policy::short_rest>(share);
          continue;
        }
      }
      run_alike<Policy::keys>(share);
    }
  }

 private:
  using Scores = Accumulator<Policy::keys>;
  template <int columns>
  static constexpr bool is_short = columns < Policy::keys;
  using Stage = RingPosition<Policy::stages>;
  static constexpr int depth_steps = Policy::dim / 16;
  static constexpr bool same_keys_for_all = SameKeysForAllQueries<typename Policy::Mask>;

  static constexpr bool has_first_keys = KeyRangeMask<typename Policy::Mask>;

  /// What a mask that hides the first keys shows.
  struct FirstKeysOfTask {
    int tile;             // of keys, the first
    int hidden_from_any;  // keys before this one are hidden from some query
    FirstKeys keys;       // that this thread's queries see
  };
  struct AllFirstKeys {};

  /// Queries at work.
  struct Task {
    AttentionWork at;  // first_query is the warpgroup's
    int key_tiles;
    int seen_by_all;      // keys that every query sees
    VisibleKeys visible;  // keys that this thread's queries see, where not all see the same
    bool has_short_rest;
    [[no_unique_address]] std::conditional_t<has_first_keys, FirstKeysOfTask, AllFirstKeys> first;
  };

  __device__ Task task_of(AttentionWork at) const {
    Task task{.at = at, .key_tiles = params_.template key_tiles<Policy>(at)};
    if constexpr (has_first_keys)
      task.first.tile = params_.template first_key_tile<Policy>(at, task.key_tiles);
    task.at.first_query += consumer_ * Policy::consumer_queries;
    task.seen_by_all = mask(task).visible_keys(0);
    if constexpr (has_first_keys) {
      task.first.hidden_from_any = mask(task).first_key(Policy::consumer_queries - 1);
      task.first.keys = ScoreRows::of(thread(), 0).first_keys(mask(task));
    }
    if constexpr (!same_keys_for_all) task.visible = ScoreRows::of(thread(), 0).visible(mask(task));
    task.has_short_rest = Policy::has_short_rests && task.key_tiles > 1 &&
                          task.seen_by_all - (task.key_tiles - 1) * Policy::keys <= Policy::short_rest;
    return task;
  }
  __device__ QueryMask<typename Policy::Mask> mask(const Task& task) const {
    return {.mask = params_.mask,
            .batch = task.at.batch,
            .head = task.at.head,
            .first_query = task.at.first_query,
            .last_query = params_.query_tokens - 1,
            .keys = params_.key_tokens};
  }
  __device__ VisibleKeys visible(const Task& task) const {
    if constexpr (same_keys_for_all) return {task.seen_by_all, task.seen_by_all};
    return task.visible;
  }

  __device__ static int first_tile(const Task& task) {
    if constexpr (has_first_keys) return task.first.tile;
    return 0;
  }
  __device__ static bool hides_first_keys(const Task& task, int first_key) {
    if constexpr (has_first_keys) return first_key < task.first.hidden_from_any;
    return false;
  }

  /// The task after `task`, which may know the keys already.
  __device__ Task task_after(const Task& task, AttentionWork at) const {
    if (same_keys_for_all && at.batch == task.at.batch) {
      Task next = task;
      next.at = at;
      next.at.first_query += consumer_ * Policy::consumer_queries;
      return next;
    }
    return task_of(at);
  }

  /// Works through tiles of queries whose last tile of keys is `last_columns` wide, until one whose is not.
  /// The next queries' first scores start before the last results are stored.
  template <int last_columns>
  __device__ void run_alike(AttentionShare& share) {
    Task task = task_of(share.work());
    await_queries();
    await_keys(ring_);
    start_scores<last_columns>(ring_);
    keys_stayed_ = false;
    for (bool is_last = false; !is_last;) {
      share.advance();
      const Task next = share.is_done() ? task : task_after(task, share.work());
      is_last = share.is_done() || next.has_short_rest != is_short<last_columns>;
      const bool keys_stay =
          !is_last && params_.template keys_stay<Policy>(task.at, task.key_tiles, next.at, next.key_tiles);
      releases_ = thread() == 0 && !keys_stay;
      attend<last_columns>(task);
      if (!keys_stay) ring_ = current_.next();
      keys_stayed_ = keys_stay;

      // After the last task this one's scores start once more, for nobody, while its keys may be refilled and
      // its queries overwritten: a branch around the product would make the assembler wait for it at once.
      const int query_stage = query_ring_.stage;
      if (!is_last) {
        query_ring_.advance();
        await_queries();
        await_keys(ring_);
      }
      start_scores<last_columns>(is_last ? current_ : ring_);
      finish_results<1>();
      release(shared_.values_free[current_.stage]);
      softmax_.finish();
      epilogue_.store(task.at, softmax_, results_, query_stage);
      task = next;
    }
    wgmma_wait<0>();
    epilogue_.free_stored_queries();
    query_ring_.advance();
  }

  __device__ void await_queries() {
    shared_.queries_full[query_ring_.stage][consumer_].wait(query_ring_.parity);
  }

  __device__ void await_keys(Stage stage) { shared_.keys_full[stage.stage].wait(stage.parity); }

  /// From the first scores to the start of the last results. The last key tile comes first; it is
  /// `last_columns` wide.
  template <int last_columns>
  __device__ void attend(const Task& task) {
    softmax_ = {};
    has_results_ = false;
    current_ = ring_;
    finish_scores<0, last_columns>(current_);
    weigh<last_columns>(task, task.key_tiles - 1);
    take_weights<last_columns>();
    epilogue_.free_stored_queries();
    if (!keys_stayed_) clear_hidden_values(task);
    int tile = task.key_tiles - 2;
    if constexpr (is_short<last_columns>) weigh_next<last_columns>(task, tile--);
    for (; tile >= first_tile(task); --tile) weigh_next<Policy::keys>(task, tile);
    start_results<Policy::keys>(current_);
  }

  /// While the results of the current tile, `columns` wide, are made: the weights of the next, `tile`.
  template <int columns>
  __device__ void weigh_next(const Task& task, int tile) {
    const Stage next = current_.next();
    await_keys(next);
    start_scores<Policy::keys>(next);
    start_results<columns>(current_);
    finish_scores<1, Policy::keys>(next);
    // Two different waits, so that the branch stays and the exponentials before it: without one the
    // assembler sinks them below the wait for the products whose time they are to fill.
    if (weigh<Policy::keys>(task, tile)) {
      finish_results<0>();
      softmax_.rescale(results_.at);
    } else {
      finish_results<0>();
    }
    release(shared_.values_free[current_.stage]);
    take_weights<Policy::keys>();
    current_ = next;
  }

  __device__ int thread() const { return static_cast<int>(threadIdx.x) % Policy::warpgroup; }

  /// Tells the fetching warpgroup that this one has read a stage.
  __device__ void release(SharedBarrier& free) {
    if (releases_) free.arrive();
  }

  /// scores = queries keys^T, of the first `columns` keys of a stage.
  template <int columns>
  __device__ void start_scores(Stage stage) {
    auto& scores = scores_.template first_columns<columns>();
    const auto queries = SharedOperand::along_depth(shared_.queries[query_ring_.stage][consumer_]);
    const auto keys = key_stages_.advanced(stage.stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
    forget(scores);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < depth_steps; ++step) {
      const int panel = step / 4, offset = step % 4 * 32;
      wgmma<T>(scores, queries.advanced(panel * Policy::consumer_queries * 128 + offset),
               keys.advanced(panel * Policy::keys * 128 + offset), step > 0);
    }
    wgmma_commit();
    keep_in_place(scores);
  }

  /// results += weights values, of the first `columns` keys
  template <int columns>
  __device__ void start_results(Stage stage) {
    shared_.values_full[stage.stage].wait(stage.parity);
    const auto values =
        value_stages_.advanced(stage.stage * static_cast<int>(sizeof(typename Shared::KeyTile)));
    keep_in_place(results_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < columns / 16; ++step)
      wgmma<T, Policy::dim, Major::columns>(results_, weights_[step].words, values.advanced(step * 16 * 128),
                                            step > 0 || has_results_);
    wgmma_commit();
    keep_in_place(results_);
    has_results_ = true;
  }

  template <int pending, int columns>
  __device__ void finish_scores(Stage stage) {
    wgmma_wait<pending>();
    keep_in_place(scores_.template first_columns<columns>());
    release(shared_.keys_free[stage.stage]);
  }

  template <int pending>
  __device__ void finish_results() {
    wgmma_wait<pending>();
    keep_in_place(results_);
  }

  /// scores -> weights, in float32, of the first `columns` keys. True where results so far must be rescaled.
  template <int columns>
  __device__ bool weigh(const Task& task, int tile) {
    auto& scores = scores_.template first_columns<columns>();
    const int first_key = tile * Policy::keys;
    const ScoreRows rows = ScoreRows::of(thread(), first_key);
    float scale_log2 = scale_log2_;
    if constexpr (AttentionBias<typename Policy::Mask>) {
      rows.add_bias(scores.at, scale_log2, mask(task), visible(task));
      scale_log2 = 1.0f;
    }
    bool fits;
    if (first_key + columns > task.seen_by_all || hides_first_keys(task, first_key)) {
      fits = softmax_.fits_without_any(scores.at, scale_log2);
      rows.hide(scores.at, visible(task));
      if constexpr (has_first_keys) rows.hide_before(scores.at, task.first.keys);
    } else {
      fits = softmax_.fits(scores.at, scale_log2);
    }
    const bool changed = softmax_.make_room(scores.at, scale_log2, fits);
    softmax_.weigh(scores.at, scale_log2);
    return changed;
  }

  /// Rounds the weights to T, as the left operand of the next product: accumulators have its layout already.
  template <int columns>
  __device__ void take_weights() {
#pragma unroll
    for (int step = 0; step < columns / 16; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        weights_[step].words[i] =
            round_pair<T>(scores_.at[8 * step + 2 * i], scores_.at[8 * step + 2 * i + 1]);
  }

  /// Values of padding, which no query sees, have weight zero, but zero times an infinity is not zero: they
  /// are cleared. All warpgroups write the same zeros. What lies past the tensor's end is zero already.
  __device__ void clear_hidden_values(const Task& task) {
    const int first_key = (task.key_tiles - 1) * Policy::keys;
    const int first = mask(task).visible_keys(params_.query_tokens - 1 - task.at.first_query) - first_key;
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

  const Params& params_;
  Shared& shared_;
  int consumer_;
  float scale_log2_;
  SharedOperand key_stages_, value_stages_;
  WarpgroupEpilogue<Policy> epilogue_;
  bool has_results_ = false;
  bool keys_stayed_ = false;  // from the task before
  bool releases_ = false;     // this thread says when a stage is free
  RowSoftmax<T> softmax_;
  Scores scores_;
  Accumulator<Policy::dim> results_;
  MmaFragment weights_[Policy::keys / 16];
  Stage ring_, current_;  // of the task's first key tile, of the tile whose weights are at hand
  RingPosition<Policy::query_stages> query_ring_;
};

}  // namespace stepvideo
