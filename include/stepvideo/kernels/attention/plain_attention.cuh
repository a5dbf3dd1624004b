// Attention on any GPU in plain float32 arithmetic, for every element and every width of a head.
#pragma once
#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/attention_work.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/attention/plain_tile.cuh>
#include <stepvideo/kernels/attention/query_mask.cuh>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/shared_memory.cuh>

namespace stepvideo {

template <class T, class Mask_, class Out>
struct PlainAttentionParams {
  HeadsView<const T> queries, keys, values;
  HeadsView<Out> out;
  HeadsView<float> log_sum_exp;
  Mask_ mask;
  float scale;
  AttentionWorkList work;
  int block_channels;  ///< of the results that a block makes, a multiple of 64
  bool queries_have_packs, keys_have_packs, values_have_packs, out_has_packs;
};

template <class T, class Mask_, class Out_>
struct PlainAttentionPolicy : PlainTiling {
  using Element = T;
  using Mask = Mask_;
  using Out = Out_;
  using Params = PlainAttentionParams<T, Mask, Out>;
  /// What heads of 128 channels leave room for in Hopper's shared memory.
  static constexpr int blocks_per_multiprocessor = 3;
};

/// A block makes some channels of a tile of queries of one head: scores from all channels, results of its
/// own.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks_per_multiprocessor)
    plain_attention_kernel(const __grid_constant__ typename Policy::Params params) {
  using T = typename Policy::Element;
  constexpr int group = PlainTokens<T>::group, rows = OuterProductShare::left_columns;
  auto& shared = shared_memory<PlainAttentionShared>();
  const AttentionWork work =
      AttentionShare::interleaved(params.work, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x))
          .work();
  const int query_count = static_cast<int>(params.queries.tokens),
            key_count = static_cast<int>(params.keys.tokens), dim = static_cast<int>(params.queries.dim);
  const int first_channel = static_cast<int>(blockIdx.y) * params.block_channels,
            end_channel = min(first_channel + params.block_channels, dim);
  const QueryMask<typename Policy::Mask> mask{.mask = params.mask,
                                              .batch = work.batch,
                                              .head = work.head,
                                              .first_query = work.first_query,
                                              .last_query = query_count - 1,
                                              .keys = key_count};
  const int end = mask.visible_keys(Policy::queries - 1);  // no query of the tile sees a key from here on
  int begin = 0;                                           // nor one before this
  if constexpr (KeyRangeMask<typename Policy::Mask>) begin = mask.first_key(0);

  const auto tokens_of = [&](const HeadsView<const T>& view, int head, int tokens, bool has_packs) {
    return PlainTokens<T>{view.row(work.batch, 0, head), view.token_stride, tokens, dim, has_packs};
  };
  const auto queries = tokens_of(params.queries, work.head, query_count, params.queries_have_packs),
             keys = tokens_of(params.keys, work.key_head, end, params.keys_have_packs),
             values = tokens_of(params.values, work.key_head, end, params.values_have_packs);
  const OuterProductShare share = Policy::share();
  const auto for_each_slice = [&](auto&& body) {
    for (int slice = 0, channel = first_channel; channel < end_channel; ++slice, channel += Policy::channels)
      body(slice, channel);
  };

  for_each_slice([&](int slice, int) {
    for (auto& row : shared.results(slice).rows) row[threadIdx.x] = {};
  });
  PlainSoftmax<typename Policy::Mask> softmax(mask);
  PlainOperands<T> next;
  if (end > begin) next.load_queries_and_keys(queries, work.first_query, keys, begin, 0);
  for (int key = begin; key < end; key += Policy::keys) {
    float scores[rows][OuterProductShare::right_columns] = {};
    for (int channel = 0; channel < dim; channel += Policy::depth) {
      __syncthreads();  // the operands before these are used up
      next.store_queries_and_keys(shared);
      __syncthreads();
      if (channel + Policy::depth < dim) {
        next.load_queries_and_keys(queries, work.first_query, keys, key, channel + Policy::depth);
      } else {
        next.load_values(values, key, first_channel);
      }
      share.add(shared.queries, shared.keys, scores);
    }

    softmax.weigh(scores, params.scale, key, shared);
#pragma unroll
    for (int column = 0; column < OuterProductShare::right_columns; ++column) {
      const int row = share.right + column;
      shared.weights.group(row, share.left) = {scores[0][column], scores[1][column], scores[2][column],
                                               scores[3][column]};
      shared.weights.group(row, share.left + 4) = {scores[4][column], scores[5][column], scores[6][column],
                                                   scores[7][column]};
    }

    for_each_slice([&](int slice, int channel) {
      __syncthreads();
      next.store_values(shared);
      __syncthreads();
      if (channel + Policy::channels < end_channel) {
        next.load_values(values, key, channel + Policy::channels);
      } else if (key + Policy::keys < end) {
        next.load_queries_and_keys(queries, work.first_query, keys, key + Policy::keys, 0);
      }
      auto& results = shared.results(slice).rows;
      float sums[rows][OuterProductShare::right_columns];
#pragma unroll
      for (int row = 0; row < rows; ++row) {
        const float4 result = results[row][threadIdx.x];
        const float factor = softmax.factor(row);
        sums[row][0] = result.x * factor, sums[row][1] = result.y * factor;
        sums[row][2] = result.z * factor, sums[row][3] = result.w * factor;
      }
      share.add(shared.weights, shared.values, sums);
#pragma unroll
      for (int row = 0; row < rows; ++row)
        results[row][threadIdx.x] = {sums[row][0], sums[row][1], sums[row][2], sums[row][3]};
    });
  }

  softmax.finish(shared);
  const bool writes_log_sum_exp =
      params.log_sum_exp.data != nullptr && first_channel == 0 && share.right == 0;
#pragma unroll
  for (int row = 0; row < rows; ++row) {
    const int query = work.first_query + share.left + row;
    if (query >= query_count) continue;
    if (writes_log_sum_exp) *params.log_sum_exp.row(work.batch, query, work.head) = softmax.log_sum_exp(row);
    auto* const out = params.out.row(work.batch, query, work.head);
    for_each_slice([&](int slice, int channel_of_slice) {
      const int channel = channel_of_slice + share.right;
      const float4 result = shared.results(slice).rows[row][threadIdx.x];
      const float factor = softmax.normaliser(row);
      const float scaled[group] = {result.x * factor, result.y * factor, result.z * factor,
                                   result.w * factor};
      const auto rounded = round_pack<typename Policy::Out>(scaled);
      if (channel >= dim) return;
      if (params.out_has_packs) {
        store_pack_once(out + channel, rounded);
      } else {
#pragma unroll
        for (int e = 0; e < group; ++e)
          if (channel + e < dim) out[channel + e] = rounded.elements[e];
      }
    });
  }
}

/// What plain_attention requires beyond what every device's attention does.
inline void require_plain_head(index_t dim) {
  constexpr index_t most_channels = 1 << 20;
  require(dim <= most_channels, [&] {
    return "attention: a head of " + std::to_string(dim) + " channels is wider than the device's " +
           std::to_string(most_channels);
  });
}

/// plain_attention() for arguments that have passed its checks; results are T, or float to be merged.
template <Element T, AttentionMask Mask, Element Out>
void launch_plain_attention(Device device, HeadsView<const T> queries, HeadsView<const T> keys,
                            HeadsView<const T> values, const Mask& mask, HeadsView<Out> out,
                            const AttentionOptions& options) {
  using KernelMask = std::remove_cvref_t<decltype(kernel_mask(mask))>;
  using Policy = PlainAttentionPolicy<T, KernelMask, Out>;
  const auto work = AttentionWorkList::of(queries, keys.heads, Policy::queries);
  constexpr int slice_bytes = sizeof(PlainAttentionShared::Results);
  const auto slices_of = [](index_t channels) {
    return static_cast<int>((channels + Policy::channels - 1) / Policy::channels);
  };
  const int room =
      device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - int{sizeof(PlainAttentionShared)};
  // As few parts as fit, and all of one size.
  const int slices = slices_of(queries.dim), parts = (slices + room / slice_bytes - 1) / (room / slice_bytes),
            part_slices = (slices + parts - 1) / parts;
  const auto has_packs = [](const auto& view) {
    return packs_fit<PlainTokens<T>::group>(view.data, view.dim, view.batch_stride, view.token_stride,
                                            view.head_stride);
  };
  launch({.grid = dim3(static_cast<unsigned>(work.count()),
                       static_cast<unsigned>((slices + part_slices - 1) / part_slices)),
          .block = Policy::threads,
          .shared_bytes = sizeof(PlainAttentionShared) + static_cast<std::size_t>(part_slices) * slice_bytes,
          .stream = device.stream},
         plain_attention_kernel<Policy>,
         {.queries = queries,
          .keys = keys,
          .values = values,
          .out = out,
          .log_sum_exp = options.log_sum_exp,
          .mask = kernel_mask(mask),
          .scale = options.scale_for(queries.dim),
          .work = work,
          .block_channels = part_slices * Policy::channels,
          .queries_have_packs = has_packs(queries),
          .keys_have_packs = has_packs(keys),
          .values_have_packs = has_packs(values),
          .out_has_packs = has_packs(out)});
}

/// attention() on any GPU from compute capability 8.0 on, for every element and any width of a head: same
/// shapes, masks and errors as the host's, any strides (rows that start at multiples of 16 bytes are read
/// faster). Products, weights and sums are float32, rounded to T once; no tensor core takes part. The arrays
/// of the mask lie in device memory. Runs on device.stream, gives the same bits every time. A block keeps
/// results of 768 channels on Hopper, 512 on an A100, 256 where it gets 99 KiB of shared memory; for wider
/// heads scores are made again for each part of the result.
template <Element T, AttentionMask Mask>
void plain_attention(Device device, std::type_identity_t<HeadsView<const T>> queries,
                     std::type_identity_t<HeadsView<const T>> keys,
                     std::type_identity_t<HeadsView<const T>> values, const Mask& mask, HeadsView<T> out,
                     const AttentionOptions& options) {
  require_countable_attention(queries, keys.tokens);
  require_plain_head(queries.dim);
  require_attention_call<T>(queries, keys, values, mask, out, options);
  if (queries.batch * queries.heads * queries.tokens == 0) return;
  launch_plain_attention<T>(device, queries, keys, values, mask, out, options);
}

}  // namespace stepvideo
