// What the warpgroups of warpgroup_attention share: its tuning, tiles in shared memory, the barriers that
// pass them on, and the warpgroup that fetches.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/attention/attention_work.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/tile/tma.cuh>
#include <stepvideo/kernels/tile/wgmma.cuh>

namespace stepvideo {

/// Tuning. A block is one fetching warpgroup and `consumers` computing ones of 64 queries each; tiles of
/// `keys` keys pass through `stages` stages. Measured on an H200, bf16, dim 128, TFLOP/s at 16,384 tokens of
/// 6 heads and at 75,888 of 48: 825 and 754, cuDNN 700 and 581. Of an earlier form of the loop three
/// computing warpgroups with 80 keys reached 766 and 705-712, two with 128 keys 713 and 633, with 176 keys
/// 707 and 624. docs/tuning.md has the story.
template <Element T, int head_dim, class KernelMask, class ResultsType = CUtensorMap>
struct WarpgroupAttentionPolicy {
  using Element = T;
  using Mask = KernelMask;
  using Results = ResultsType;
  static constexpr int dim = head_dim;
  static constexpr int consumers = 3, stages = 3, query_stages = 2;
  static constexpr int keys = dim == 128 ? 80 : 128;
  // Where all queries see the same keys, a last tile of which at most so many are seen is computed as narrow
  // as this: 200 keys take 0.66 instead of 0.70 ms of 75,888 queries of 48 heads.
  static constexpr bool has_short_rests = dim == 128 && SameKeysForAllQueries<Mask>;
  static constexpr int short_rest = has_short_rests ? 48 : 0;

  static constexpr int warpgroup = 128, threads = warpgroup * (consumers + 1);
  static constexpr int consumer_queries = 64, queries = consumer_queries * consumers;
  // A thread of each of the four warpgroups may have 512 registers in all.
  static constexpr int producer_registers = 32, consumer_registers = 160;

  static constexpr int panel_elements = 128 / sizeof(T), panels = dim / panel_elements;
  static_assert(dim % panel_elements == 0 && keys % 16 == 0);
};

template <class KernelMask, class Results>
struct WarpgroupAttentionParams {
  CUtensorMap queries, keys, values;  // boxes of 64 tokens, and of a key tile
  Results out;                        // boxes of 64 tokens, or PartialResults
  HeadsView<float> log_sum_exp;
  KernelMask mask;
  AttentionWorkList work;
  bool is_interleaved;
  int query_tokens, key_tokens;
  float scale;

  __device__ AttentionShare share() const {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    return is_interleaved ? AttentionShare::interleaved(work, block, blocks)
                          : AttentionShare::contiguous(work, block, blocks);
  }
  /// The end of the key tiles that some query of `at` sees part of; one, all hidden, where there is none.
  template <class Policy>
  __device__ int key_tiles(const AttentionWork& at) const {
    const int last = min(at.first_query + Policy::queries, query_tokens) - 1;
    const int visible = static_cast<int>(mask.visible_keys(at.batch, last, key_tokens));
    return (max(visible, 1) + Policy::keys - 1) / Policy::keys;
  }
  /// The first of them; before it there are none that a query of `at` sees.
  template <class Policy>
  __device__ int first_key_tile(const AttentionWork& at, int key_tiles) const {
    if constexpr (KeyRangeMask<KernelMask>) {
      const int first = static_cast<int>(mask.key_range(at.batch, at.first_query, key_tokens).first);
      return min(first / Policy::keys, key_tiles - 1);
    } else {
      return 0;
    }
  }
  /// Whether the keys and values of `at` stay in shared memory for `next`: they are the same, and all there.
  template <class Policy>
  __device__ bool keys_stay(const AttentionWork& at, int key_tiles, const AttentionWork& next,
                            int next_key_tiles) const {
    if constexpr (KeyRangeMask<KernelMask>) return false;  // they begin with another tile
    return at.batch == next.batch && at.key_head == next.key_head && key_tiles <= Policy::stages &&
           key_tiles == next_key_tiles;
  }
};

/// A block's shared memory. Tiles are panels of 128-byte rows in the 128-byte swizzle. A warpgroup's results
/// leave through the memory of its queries.
template <class Policy>
struct WarpgroupAttentionShared {
  using T = typename Policy::Element;
  using QueryTile = T[Policy::panels][Policy::consumer_queries * Policy::panel_elements];
  using KeyTile = T[Policy::panels][Policy::keys * Policy::panel_elements];

  alignas(1024) QueryTile queries[Policy::query_stages][Policy::consumers];
  alignas(1024) KeyTile keys[Policy::stages];
  alignas(1024) KeyTile values[Policy::stages];
  SharedBarrier queries_full[Policy::query_stages][Policy::consumers];
  SharedBarrier queries_free[Policy::query_stages][Policy::consumers];
  SharedBarrier keys_full[Policy::stages], keys_free[Policy::stages];
  SharedBarrier values_full[Policy::stages], values_free[Policy::stages];

  /// One thread calls it; a barrier of the block follows.
  __device__ void initialize_barriers() {
    for (int stage = 0; stage < Policy::query_stages; ++stage)
      for (int consumer = 0; consumer < Policy::consumers; ++consumer) {
        queries_full[stage][consumer].initialize(1);
        queries_free[stage][consumer].initialize(1);
      }
    for (int stage = 0; stage < Policy::stages; ++stage) {
      keys_full[stage].initialize(1);
      values_full[stage].initialize(1);
      keys_free[stage].initialize(Policy::consumers);
      values_free[stage].initialize(Policy::consumers);
    }
    publish_barriers();
  }
};

static_assert(sizeof(WarpgroupAttentionShared<WarpgroupAttentionPolicy<bf16, 128, FullMask>>) == 217 * 1024);

/// One thread that fetches what the block works on: queries, then tiles of keys and values from the last
/// visible one down to the first.
template <class Policy>
class AttentionProducer {
 public:
  using Params = WarpgroupAttentionParams<typename Policy::Mask, typename Policy::Results>;
  using Shared = WarpgroupAttentionShared<Policy>;

  __device__ AttentionProducer(const Params& params, Shared& shared) : params_(params), shared_(shared) {}

  /// Fetches for the block's share.
  __device__ void run(AttentionShare share) {
    AttentionWork before{};
    int key_tiles_before = 0;
    for (; !share.is_done(); share.advance()) {
      const AttentionWork work = share.work();
      const int key_tiles = params_.template key_tiles<Policy>(work);
      const bool keys_are_there = key_tiles_before > 0 && params_.template keys_stay<Policy>(
                                                              before, key_tiles_before, work, key_tiles);
      fetch(work, keys_are_there ? 0 : key_tiles);
      before = work, key_tiles_before = key_tiles;
    }
  }

 private:
  __device__ void fetch(const AttentionWork& work, int tiles) {
    if (tiles == 0) fetch_queries(work);
    const int first_tile = params_.template first_key_tile<Policy>(work, tiles);
    for (int tile = tiles - 1; tile >= first_tile; --tile) {
      fetch_keys(params_.keys, work, tile, shared_.keys, shared_.keys_full, shared_.keys_free);
      if (tile == tiles - 1) fetch_queries(work);
      fetch_keys(params_.values, work, tile, shared_.values, shared_.values_full, shared_.values_free);
      ring_.advance();
    }
  }

  __device__ void fetch_queries(const AttentionWork& work) {
    const int stage = query_ring_.stage;
    for (int consumer = 0; consumer < Policy::consumers; ++consumer) {
      SharedBarrier& full = shared_.queries_full[stage][consumer];
      shared_.queries_free[stage][consumer].wait(query_ring_.parity ^ 1);
      full.arrive_expecting(sizeof(typename Shared::QueryTile));
      const int first = work.first_query + consumer * Policy::consumer_queries;
      for (int panel = 0; panel < Policy::panels; ++panel)
        load_box(params_.queries, {panel * Policy::panel_elements, first, work.head, work.batch},
                 shared_.queries[stage][consumer][panel], full);
    }
    query_ring_.advance();
  }

  __device__ void fetch_keys(const CUtensorMap& map, const AttentionWork& work, int tile,
                             typename Shared::KeyTile* stages, SharedBarrier* full, SharedBarrier* free) {
    const int stage = ring_.stage;
    free[stage].wait(ring_.parity ^ 1);
    full[stage].arrive_expecting(sizeof(typename Shared::KeyTile));
    for (int panel = 0; panel < Policy::panels; ++panel)
      load_box(map, {panel * Policy::panel_elements, tile * Policy::keys, work.key_head, work.batch},
               stages[stage][panel], full[stage]);
  }

  const Params& params_;
  Shared& shared_;
  RingPosition<Policy::stages> ring_;
  RingPosition<Policy::query_stages> query_ring_;
};

}  // namespace stepvideo
