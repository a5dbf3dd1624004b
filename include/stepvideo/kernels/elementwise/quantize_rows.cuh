// Rows to fp8 on the GPU, behind the same call as on the CPU.
#pragma once
#include <algorithm>
#include <bit>
#include <concepts>
#include <type_traits>

#include <cuda_pipeline_primitives.h>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/quantize_rows.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<QuantizeRows, Device> = true;
}  // namespace calls

/// A block takes a row and keeps it in registers, `packs` packs of `vector` elements a thread. On an H200 at
/// 75,888 x 6144, in shares of the device copy's 4254 GB/s: bf16 90 %, float 103 %. Before it took a function
/// bf16 was seen at 102 %, not explained.
template <class Element, class FunctionType, int vector_elements>
struct QuantizeRowsPolicy {
  using In = Element;
  using Function = FunctionType;
  static constexpr int vector = vector_elements;
  static constexpr int threads = 128;
  static constexpr int packs = 48 / vector;  // 6144 channels: the model's width
  static constexpr index_t widest = index_t{threads} * packs * vector;
};

/// The same for rows of up to 24,576 channels, the model's hidden layer: as many threads as the registers of
/// a multiprocessor serve stay there, and have their next rows on the way to shared memory while they
/// evaluate these. On an H200 at 25,344 x 24,576 bf16 with GELU: 86 % of the copy.
template <class Element, class FunctionType, int vector_elements>
struct QuantizeWideRowsPolicy {
  using In = Element;
  using Function = FunctionType;
  static constexpr int vector = vector_elements, packs = 6;
  static constexpr int threads = 24'576 / packs / vector, blocks = 1024 / threads;
  static constexpr index_t widest = index_t{threads} * packs * vector;
  static constexpr int shared_bytes = packs * threads * widest_access_bytes;
};

template <class Policy>
struct QuantizeRowsParams {
  TokensView<const typename Policy::In> in;
  ScaledTokensView out;
  typename Policy::Function function;
};

namespace quantize_detail {

/// Calls body(p, column) for the packs that a thread has of a row.
template <class Policy, class Body>
__device__ void for_each_pack(int width, Body&& body) {
#pragma unroll
  for (int p = 0; p < Policy::packs; ++p) {
    const PackColumn column{static_cast<int>(threadIdx.x) * Policy::vector,
                            p * Policy::threads * Policy::vector};
    if (column.is_within(width)) body(p, column);
  }
}

template <class Policy>
using LoadedPack = Pack<typename Policy::In, Policy::vector>;

/// What the function made of a pack, until the row's scale is known: the pack as it was read where that is
/// nothing.
template <class Policy>
using KeptPack = std::conditional_t<std::same_as<typename Policy::Function, Identity>, LoadedPack<Policy>,
                                    Pack<float, Policy::vector>>;

template <class Policy>
__device__ KeptPack<Policy> evaluate(const LoadedPack<Policy>& loaded,
                                     const typename Policy::Function& function) {
  if constexpr (std::same_as<typename Policy::Function, Identity>) {
    return loaded;
  } else {
    float values[Policy::vector];
    widen_pack(loaded, values);
#pragma unroll
    for (float& value : values) value = function(value);
    return round_pack<float>(values);
  }
}

/// From a row in registers to fp8 and its scale.
template <class Policy>
__device__ void store_quantised(const KeptPack<Policy> (&kept)[Policy::packs], int width,
                                BlockAllReduce<Policy::threads>& reduce, fp8_e4m3* target, float* row_scale) {
  constexpr int vector = Policy::vector;
  float largest = 0;
  for_each_pack<Policy>(width, [&](int p, PackColumn) {
#pragma unroll
    for (int e = 0; e < vector; ++e) largest = LargerMagnitudeOfLane{}(largest, float(kept[p].elements[e]));
  });
  const Fp8Scale scale = Fp8Scale::of(reduce(largest, LargerMagnitudeOfLane{}));
  if (threadIdx.x == 0) *row_scale = scale.scale;
  for_each_pack<Policy>(width, [&](int p, PackColumn column) {
    float values[vector];
#pragma unroll
    for (int e = 0; e < vector; ++e) values[e] = scale(float(kept[p].elements[e]));
    store_pack_once(column.of(target), round_pack<fp8_e4m3>(values));
  });
}

}  // namespace quantize_detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) quantize_rows_kernel(QuantizeRowsParams<Policy> params) {
  using namespace quantize_detail;
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const int width = static_cast<int>(params.in.width);
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto* source = params.in.row(batch, token);
  LoadedPack<Policy> loaded[Policy::packs];
  for_each_pack<Policy>(
      width, [&](int p, PackColumn column) { loaded[p] = load_pack<Policy::vector>(column.of(source)); });
  KeptPack<Policy> kept[Policy::packs];
  for_each_pack<Policy>(width,
                        [&](int p, PackColumn) { kept[p] = evaluate<Policy>(loaded[p], params.function); });
  store_quantised<Policy>(kept, width, reduce, params.out.values.row(batch, token),
                          &params.out.scale(batch, token));
}

/// A block takes every gridDim.x-th row. No other thread touches a thread's packs in shared memory, so they
/// need no barrier.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks)
    quantize_wide_rows_kernel(QuantizeRowsParams<Policy> params) {
  using namespace quantize_detail;
  extern __shared__ uint4 next_row[];
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const int width = static_cast<int>(params.in.width), tokens = static_cast<int>(params.in.tokens),
            step = static_cast<int>(gridDim.x);
  const index_t batch = blockIdx.y;
  int token = static_cast<int>(blockIdx.x);
  // Pointers that move take fewer registers than what they would be computed from.
  const auto* source = params.in.row(batch, token);
  fp8_e4m3* target = params.out.values.row(batch, token);
  float* row_scale = &params.out.scale(batch, token);
  uint4* const mine = next_row + threadIdx.x;
  const auto fetch = [&] {
    for_each_pack<Policy>(width, [&](int p, PackColumn column) {
      __pipeline_memcpy_async(mine + p * Policy::threads, column.of(source), sizeof(uint4));
    });
    __pipeline_commit();
    source += step * params.in.token_stride;
  };
  fetch();
  for (; token < tokens; token += step) {
    __pipeline_wait_prior(0);
    KeptPack<Policy> kept[Policy::packs];
    for_each_pack<Policy>(width, [&](int p, PackColumn) {
      kept[p] =
          evaluate<Policy>(std::bit_cast<LoadedPack<Policy>>(mine[p * Policy::threads]), params.function);
    });
    if (token < tokens - step) fetch();
    store_quantised<Policy>(kept, width, reduce, target, row_scale);
    target += step * params.out.values.token_stride, row_scale += step;
  }
}

/// Rows that do not fit the registers or lie off the packs' grid: read twice, and evaluated as often.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    quantize_rows_loop_kernel(QuantizeRowsParams<Policy> params) {
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const int width = static_cast<int>(params.in.width);
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto* source = params.in.row(batch, token);
  float largest = 0;
  for (int i = threadIdx.x; i < width; i += Policy::threads)
    largest = LargerMagnitudeOfLane{}(largest, params.function(float(source[i])));

  const Fp8Scale scale = Fp8Scale::of(reduce(largest, LargerMagnitudeOfLane{}));
  if (threadIdx.x == 0) params.out.scale(batch, token) = scale.scale;
  fp8_e4m3* target = params.out.values.row(batch, token);
  for (int i = threadIdx.x; i < width; i += Policy::threads)
    target[i] = fp8_e4m3(scale(params.function(float(source[i]))));
}

/// See the host's quantize_rows: same shapes, same errors, the same bits where the function has them. Runs on
/// device.stream, and so does the function: once for each element in rows of up to 24,576 whose data and
/// strides are multiples of 16 bytes (out's strides of as many elements as 16 bytes of in hold), else twice.
template <class In, class Function = Identity>
requires Element<std::remove_const_t<In>>
void quantize_rows(Device device, TokensView<In> in, ScaledTokensView out, Function function = {}) {
  require_scaled_tokens_fit("quantize_rows", in, out);
  if (in.tokens == 0) return;
  row_channels("quantize_rows", in.width);
  using T = std::remove_const_t<In>;
  constexpr int vector = widest_access_bytes / sizeof(T);
  const unsigned rows = grid_blocks("quantize_rows", in.tokens);
  // blocks_of(count): blocks of the grid for each of `count` batch elements.
  const auto launch_with = [&](auto policy, auto kernel, std::size_t shared_bytes, auto&& blocks_of) {
    for_each_grid_run(in.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(blocks_of(count), count),
              .block = policy.threads,
              .shared_bytes = shared_bytes,
              .stream = device.stream},
             kernel,
             QuantizeRowsParams<decltype(policy)>{from_batch(TokensView<const T>(in), first),
                                                  from_batch(out, first), function});
    });
  };
  const auto block_a_row = [&](unsigned) { return rows; };
  using Fast = QuantizeRowsPolicy<T, Function, vector>;
  using Wide = QuantizeWideRowsPolicy<T, Function, vector>;
  using Loop = QuantizeRowsPolicy<T, Function, 1>;
  const auto& values = out.values;
  if (in.width > Wide::widest || !packs_fit<vector>(in.data, in.width, in.batch_stride, in.token_stride) ||
      !packs_fit<vector>(values.data, values.batch_stride, values.token_stride)) {
    launch_with(Loop{}, quantize_rows_loop_kernel<Loop>, 0, block_a_row);
  } else if (in.width <= Fast::widest) {
    launch_with(Fast{}, quantize_rows_kernel<Fast>, 0, block_a_row);
  } else {
    const auto resident =
        static_cast<unsigned>(Wide::blocks * device_attribute(cudaDevAttrMultiProcessorCount));
    launch_with(Wide{}, quantize_wide_rows_kernel<Wide>, Wide::shared_bytes,
                [&](unsigned count) { return std::min(rows, (resident + count - 1) / count); });
  }
}

}  // namespace stepvideo
