// Attention on any GPU from compute capability 8.0 on: mma.sync, ldmatrix and cp.async, nothing newer.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/attention_path.hpp>
#include <stepvideo/kernels/attention/attention_work.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/partial_results.cuh>
#include <stepvideo/kernels/attention/query_mask.cuh>
#include <stepvideo/kernels/attention/warp_mainloop.cuh>
#include <stepvideo/kernels/attention/warp_tile.cuh>

namespace stepvideo {

/// Views of attention's tensors as a block of the kernel wants them.
template <class T, class Mask_, class Results>
struct WarpAttentionParams {
  AlignedHeads<const T> queries, keys, values;
  Results out;  ///< AlignedHeads<T>, or PartialResults
  HeadsView<float> log_sum_exp;
  Mask_ mask;
  QueryFactor factor;
  AttentionWorkList work;
};

/// A warp keeps 32 queries: each fragment of keys or values that it loads then meets two fragments of its
/// own. Eight warps share a multiprocessor, two a scheduler, so that one's softmax runs under the other's
/// products: two blocks of four, or one of eight, which reads keys and values half as often. On an H200,
/// 75,888 tokens, 12 heads of 128: 409 and 424 TFLOP/s; tiles of 32 keys are 6 % slower.
template <class T, int dim_, class Mask_, int warps_, class Results_ = AlignedHeads<T>>
struct WarpAttentionPolicy {
  using Element = T;
  using Mask = Mask_;
  using Results = Results_;
  using Params = WarpAttentionParams<T, Mask, Results>;
  static constexpr int dim = dim_, warps = warps_, threads = 32 * warps;
  static constexpr int blocks_per_multiprocessor = 8 / warps;
  static constexpr int warp_queries = 32, tile_queries = warps * warp_queries, tile_keys = 64;
};

/// A block's shared memory.
template <class Policy>
struct alignas(256) WarpAttentionShared {
  static constexpr int row_bytes = Policy::dim * int{sizeof(typename Policy::Element)};

  std::byte queries[Policy::tile_queries * row_bytes];
  struct {
    std::byte keys[Policy::tile_keys * row_bytes], values[Policy::tile_keys * row_bytes];
  } stages[2];
};

// Fits the 99 KiB that a block gets at most on some GPUs, and the 163 KiB of others.
static_assert(sizeof(WarpAttentionShared<WarpAttentionPolicy<bf16, 128, FullMask, 4>>) == 96 * 1024);
static_assert(sizeof(WarpAttentionShared<WarpAttentionPolicy<bf16, 128, FullMask, 8>>) == 128 * 1024);

/// One tile of queries of one head a block.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks_per_multiprocessor)
    warp_attention_kernel(const __grid_constant__ typename Policy::Params params) {
  // Not shared_memory<>(): with it the assembler spills 60 bytes where it spilt 48, and 75,888 tokens of 48
  // heads took 353 ms on an H200 instead of 345.
  extern __shared__ __align__(256) std::byte memory[];
  using T = typename Policy::Element;
  using Shared = WarpAttentionShared<Policy>;
  auto& shared = *reinterpret_cast<Shared*>(memory);
  constexpr int tile_keys = Policy::tile_keys;

  const AttentionWork work =
      AttentionShare::interleaved(params.work, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x))
          .work();
  const int query_count = static_cast<int>(params.queries.view.tokens);
  const int key_count = static_cast<int>(params.keys.view.tokens);
  const int last_query = std::min(work.first_query + Policy::tile_queries, query_count) - 1;
  // Every query of the tile sees the keys before `open`, none sees those from `end` on.
  const auto visible_keys = [&](int query) {
    return static_cast<int>(params.mask.visible_keys(work.batch, query, key_count));
  };
  const int open = visible_keys(work.first_query), end = visible_keys(last_query);
  // None sees the keys before `begin`; from `shown` on every query sees those before `open`.
  int begin = 0, shown = 0;
  if constexpr (KeyRangeMask<typename Policy::Mask>) {
    const auto first_key = [&](int query) {
      return static_cast<int>(params.mask.key_range(work.batch, query, key_count).first);
    };
    begin = first_key(work.first_query), shown = first_key(last_query);
  }

  const int first_row = static_cast<int>(threadIdx.x) / 32 * Policy::warp_queries;
  std::byte* const warp_rows = shared.queries + first_row * Shared::row_bytes;
  const QueryMask<typename Policy::Mask> mask{.mask = params.mask,
                                              .batch = work.batch,
                                              .head = work.head,
                                              .first_query = work.first_query + first_row,
                                              .last_query = query_count - 1,
                                              .keys = key_count};

  TileStream<T, Policy::tile_queries, Policy::dim, Policy::threads> query_stream(
      params.queries.rows(work.batch, work.head), work.first_query, query_count);
  TileStream<T, tile_keys, Policy::dim, Policy::threads> key_stream(
      params.keys.rows(work.batch, work.key_head), begin, end);
  TileStream<T, tile_keys, Policy::dim, Policy::threads> value_stream(
      params.values.rows(work.batch, work.key_head), begin, end);
  query_stream.copy(shared.queries);
  key_stream.copy(shared.stages[0].keys);
  value_stream.copy(shared.stages[0].values);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  params.factor.template apply<Policy::warp_queries * Shared::row_bytes>(warp_rows);
  WarpQueries<Policy> queries(warp_rows, params.factor.scale);

  int first = begin, stage = 0;
  const auto attend_tile = [&](auto is_masked) {
    const auto& now = shared.stages[stage];
    auto& next = shared.stages[stage ^= 1];
    wait_for_copies<0>();
    __syncthreads();
    key_stream.copy(next.keys), value_stream.copy(next.values);
    commit_copies();

    queries.score(shared_address(now.keys));
    if constexpr (is_masked) {
      queries.make_room(mask, first);
    } else {
      queries.make_room();
    }
    queries.accumulate(shared_address(now.values));
    first += tile_keys;
  };
  if constexpr (KeyRangeMask<typename Policy::Mask>) {
#pragma unroll 1
    while (first < std::min(shown, end)) attend_tile(std::true_type{});
  }
  if constexpr (!AttentionBias<typename Policy::Mask>)
    while (first + tile_keys <= open) attend_tile(std::false_type{});
#pragma unroll 1
  while (first < end) attend_tile(std::true_type{});
  wait_for_copies<0>();

  if constexpr (std::same_as<typename Policy::Results, PartialResults>) {
    queries.finish_partial([&](int query, int channel, float first_result, float second_result) {
      const int token = work.first_query + first_row + query;
      if (token < query_count)
        params.out.store(params.out.view.row(work.batch, token, work.head), channel, first_result,
                         second_result);
    });
  } else {
    queries.finish(warp_rows);
    __syncwarp();
    store_tokens<Policy::warp_queries, Policy::dim>(warp_rows, params.out.rows(work.batch, work.head),
                                                    work.first_query + first_row, query_count);
  }
  if (params.log_sum_exp.data != nullptr)
    queries.log_sum_exp([&](int query, float value) {
      const int token = work.first_query + first_row + query;
      if (token < query_count) *params.log_sum_exp.row(work.batch, token, work.head) = value;
    });
}

/// warp_attention() with blocks of `warps` warps, for arguments that have passed its checks. Eight warps are
/// built for heads of 128 channels.
template <int warps, class T, AttentionMask Mask, class Out>
void launch_warp_blocks(Device device, HeadsView<const T> queries, HeadsView<const T> keys,
                        HeadsView<const T> values, const Mask& mask, const Out& out,
                        const AttentionOptions& options) {
  using KernelMask = std::remove_cvref_t<decltype(kernel_mask(mask))>;
  const auto launch_for = [&]<int dim>(std::integral_constant<int, dim>) {
    using Results = std::conditional_t<std::same_as<Out, PartialResults>, PartialResults, AlignedHeads<T>>;
    using Policy = WarpAttentionPolicy<T, dim, KernelMask, warps, Results>;
    const auto work = AttentionWorkList::of(queries, keys.heads, Policy::tile_queries);
    launch({.grid = dim3(static_cast<unsigned>(work.count())),
            .block = Policy::threads,
            .shared_bytes = sizeof(WarpAttentionShared<Policy>),
            .stream = device.stream},
           warp_attention_kernel<Policy>,
           {.queries = queries,
            .keys = keys,
            .values = values,
            .out = out,
            .log_sum_exp = options.log_sum_exp,
            .mask = kernel_mask(mask),
            .factor = QueryFactor::of(options.scale_for(dim)),
            .work = work});
  };
  if constexpr (warps == 8) {
    dispatch<128>("attention's head dimension", queries.dim, launch_for);
  } else {
    dispatch<64, 128>("attention's head dimension", queries.dim, launch_for);
  }
}

/// Whether blocks of eight warps are faster. Measured on an H200, against four: 75,888 tokens and 12 heads of
/// 128 +4 %, of 64 -10 %; 16,384 tokens and 6 heads (three blocks for each multiprocessor) -2 %; 397 keys -9
/// %. They need more shared memory than some GPUs have.
template <class T>
bool wide_blocks_pay(HeadsView<const T> queries, HeadsView<const T> keys) {
  using Wide = WarpAttentionPolicy<T, 128, FullMask, 8>;
  if (queries.dim != Wide::dim || keys.tokens < 4096) return false;
  const int multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount);
  const int shared_bytes = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  const index_t tiles = queries.tokens / Wide::tile_queries * queries.heads * queries.batch;
  return index_t{sizeof(WarpAttentionShared<Wide>)} <= shared_bytes && tiles >= 8 * multiprocessors;
}

template <class T>
concept WarpAttentionElement = std::same_as<T, bf16> || std::same_as<T, fp16>;

/// warp_attention() for arguments that have passed its checks; `out` is HeadsView<T> or PartialResults.
template <WarpAttentionElement T, AttentionMask Mask, class Out>
void launch_warp_attention(Device device, HeadsView<const T> queries, HeadsView<const T> keys,
                           HeadsView<const T> values, const Mask& mask, const Out& out,
                           const AttentionOptions& options) {
  if (wide_blocks_pay<T>(queries, keys)) {
    launch_warp_blocks<8>(device, queries, keys, values, mask, out, options);
  } else {
    launch_warp_blocks<4>(device, queries, keys, values, mask, out, options);
  }
}

/// attention() on a GPU from compute capability 8.0 on, for heads of 64 or 128 channels: same shapes and
/// masks, any strides (rows that start at multiples of 16 bytes are read faster), same errors; weights are
/// rounded to T before they meet the values, sums are float32. The arrays of the mask lie in device memory.
/// Runs on device.stream.
template <WarpAttentionElement T, AttentionMask Mask>
void warp_attention(Device device, std::type_identity_t<HeadsView<const T>> queries,
                    std::type_identity_t<HeadsView<const T>> keys,
                    std::type_identity_t<HeadsView<const T>> values, const Mask& mask, HeadsView<T> out,
                    const AttentionOptions& options) {
  require_countable_attention(queries, keys.tokens);
  require_attention_call<T>(queries, keys, values, mask, out, options);
  require(is_tensor_core_head(queries.dim), [&] {
    return "warp_attention: heads have " + std::to_string(queries.dim) +
           " channels; 64 and 128 are built, attention() takes any";
  });
  if (queries.batch * queries.heads * queries.tokens == 0) return;
  launch_warp_attention<T>(device, queries, keys, values, mask, out, options);
}

}  // namespace stepvideo
