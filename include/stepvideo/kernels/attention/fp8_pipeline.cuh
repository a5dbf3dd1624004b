// What the warpgroups of fp8_attention share: its tuning, tiles in shared memory, the barriers that pass them
// on, and the warpgroup that fetches.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/kernels/attention/attention_work.hpp>
#include <stepvideo/kernels/tile/tma.cuh>
#include <stepvideo/kernels/tile/wgmma.cuh>

namespace stepvideo {

/// Tuning. A block is one fetching warpgroup and two computing ones of 64 queries each: together the queries,
/// and a tile the keys, that share a scale.
template <Element OutElement, class KernelMask>
struct Fp8AttentionPolicy {
  using Out = OutElement;
  using Mask = KernelMask;
  /// Channels of a tile. Narrower heads, in whole steps, leave the rest of it zeros, as bulk copies fill what
  /// lies behind a tensor.
  static constexpr int dim = 128, dim_step = 16;
  static constexpr int keys = static_cast<int>(quantization_block_tokens);
  static constexpr int consumers = 2, stages = 4;
  /// Tiles whose results stay in the tensor cores' accumulators, which cut what they add off about 13 bits
  /// below the largest: sums of weights come out 0.7 % low after 1,000 keys. Results before them wait in
  /// shared memory, which frees 64 registers; a fold every 4 tiles took 6 % longer than every 32.
  static constexpr int tiles_per_sum = 16;
  /// Columns of ones beside the values: the product with them is the sum of the weights. wgmma's next width.
  static constexpr int ones = 16;

  static constexpr int warpgroup = 128, threads = warpgroup * (consumers + 1);
  static constexpr int consumer_queries = 64, queries = consumer_queries * consumers;
  static constexpr int producer_registers = 24, consumer_registers = 240;
  static_assert(queries == quantization_block_tokens && dim == 128);
};

template <class Policy>
struct Fp8AttentionParams {
  CUtensorMap queries, keys, values;  // boxes of consumer_queries and of keys tokens, of dim channels
  HeadsView<const float> query_scales, key_scales, value_scales, value_means;
  HeadsView<typename Policy::Out> out;
  HeadsView<float> log_sum_exp;
  typename Policy::Mask mask;
  AttentionWorkList work;
  int key_tokens;
  float scale;
  bool out_takes_pairs;  ///< rows are aligned for stores of two elements

  /// Key tiles that some query of the block's sees part of.
  __device__ int key_tiles(const AttentionWork& work) const {
    const int last = min(work.first_query + Policy::queries, static_cast<int>(out.tokens)) - 1;
    const int visible = static_cast<int>(mask.visible_keys(work.batch, last, key_tokens));
    return (max(visible, 0) + Policy::keys - 1) / Policy::keys;
  }
};

/// A block's shared memory: tiles of 128-byte rows in the 128-byte swizzle, 16 KiB of keys or values each.
template <class Policy>
struct Fp8AttentionShared {
  using QueryTile = fp8_e4m3[Policy::consumer_queries * Policy::dim];
  using KeyTile = fp8_e4m3[Policy::keys * Policy::dim];
  struct ValueTile {
    KeyTile codes;                               // (channels, positions)
    fp8_e4m3 ones[Policy::ones * Policy::keys];  // more rows of the same operand
  };

  alignas(1024) QueryTile queries[Policy::consumers];
  alignas(1024) KeyTile keys[Policy::stages];
  alignas(1024) ValueTile values[Policy::stages];
  float4 results[Policy::consumers][Policy::consumer_queries * Policy::dim / 4 / Policy::warpgroup]
                [Policy::warpgroup];  // four accumulators of every thread, and so on
  SharedBarrier queries_full[Policy::consumers], queries_free[Policy::consumers];
  SharedBarrier keys_full[Policy::stages], keys_free[Policy::stages];
  SharedBarrier values_full[Policy::stages], values_free[Policy::stages];

  /// One thread calls it; a barrier of the block follows.
  __device__ void initialize_barriers() {
    for (int consumer = 0; consumer < Policy::consumers; ++consumer) {
      queries_full[consumer].initialize(1);
      queries_free[consumer].initialize(1);
    }
    for (int stage = 0; stage < Policy::stages; ++stage) {
      keys_full[stage].initialize(1);
      values_full[stage].initialize(1);
      keys_free[stage].initialize(Policy::consumers);
      values_free[stage].initialize(Policy::consumers);
    }
    publish_barriers();
  }

  /// All threads call it; a barrier of the block follows.
  __device__ void write_ones() {
    for (ValueTile& tile : values)
      for (int i = threadIdx.x; i < Policy::ones * Policy::keys; i += Policy::threads)
        tile.ones[i] = fp8_e4m3::from_bits(0x38);
    publish_shared_writes();
  }
};

/// One thread that fetches what the block works on: queries, then tiles of keys and values from the last
/// visible one down to the first.
template <class Policy>
class Fp8Producer {
 public:
  using Params = Fp8AttentionParams<Policy>;
  using Shared = Fp8AttentionShared<Policy>;

  __device__ Fp8Producer(const Params& params, Shared& shared) : params_(params), shared_(shared) {}

  __device__ void fetch(const AttentionWork& work) {
    const int tiles = params_.key_tiles(work);
    fetch_queries(work);
    for (int tile = tiles - 1; tile >= 0; --tile) {
      const int stage = ring_.stage, first = tile * Policy::keys;
      fetch_tile(params_.keys, {0, first, work.key_head, work.batch}, shared_.keys[stage],
                 shared_.keys_full[stage], shared_.keys_free[stage]);
      fetch_tile(params_.values, {first, 0, work.key_head, work.batch}, shared_.values[stage].codes,
                 shared_.values_full[stage], shared_.values_free[stage]);
      ring_.advance();
    }
  }

 private:
  __device__ void fetch_queries(const AttentionWork& work) {
    for (int consumer = 0; consumer < Policy::consumers; ++consumer) {
      SharedBarrier& full = shared_.queries_full[consumer];
      shared_.queries_free[consumer].wait(query_parity_ ^ 1);
      full.arrive_expecting(sizeof(typename Shared::QueryTile));
      const int first = work.first_query + consumer * Policy::consumer_queries;
      load_box(params_.queries, {0, first, work.head, work.batch}, shared_.queries[consumer], full);
    }
    query_parity_ ^= 1;
  }

  __device__ void fetch_tile(const CUtensorMap& map, BoxOrigin from, typename Shared::KeyTile& tile,
                             SharedBarrier& full, SharedBarrier& free) {
    free.wait(ring_.parity ^ 1);
    full.arrive_expecting(sizeof(tile));
    load_box(map, from, tile, full);
  }

  const Params& params_;
  Shared& shared_;
  RingPosition<Policy::stages> ring_;
  std::uint32_t query_parity_ = 0;
};

}  // namespace stepvideo
