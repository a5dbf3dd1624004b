// The fp8 form of qk_norm_rope: a block of threads quantises a block of tokens in registers.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>

#include <cuda_pipeline_primitives.h>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope_any.cuh>
#include <stepvideo/kernels/rope/qk_row.cuh>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/hadamard.cuh>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// A block makes the queries, or the keys, of one head, a run of quantisation blocks one after another: it
/// keeps one in registers until it knows the scale, while the next one's rows are on their way to shared
/// memory.
template <class T, int head_dim>
struct QuantizedQkPolicy : QkRowPolicy<T, head_dim> {
  using Row = QkRowPolicy<T, head_dim>;
  static constexpr int tokens = quantization_block_tokens, rows = 2;  ///< rows of a thread
  static constexpr int threads = tokens * Row::lanes / rows;
  static constexpr int blocks_per_multiprocessor = sizeof(T) == 2 ? 2 : 1;
  static constexpr int words = sizeof(typename Row::Elements) / sizeof(uint4);  ///< of a vector
  static constexpr int shared_bytes = rows * Row::vectors * words * threads * int{sizeof(uint4)};
  /// Runs are as long as this many blocks of threads allow: some waves of them on any GPU.
  static constexpr index_t least_blocks = 2048, longest_run = 16;
};

template <class T>
struct QuantizedQkRuns {
  QuantizedQkParams<T> of;
  int run;  ///< blocks of tokens
};

/// A thread's shares of its next rows in shared memory. No other thread touches them, so there is no barrier.
template <class Policy>
class NextRows {
 public:
  __device__ explicit NextRows(uint4* shared) : slot_(shared + threadIdx.x) {}

  /// Begins to copy row `r`.
  __device__ void fetch(int r, const typename Policy::Element* source, int lane) {
#pragma unroll
    for (int v = 0; v < Policy::vectors; ++v)
#pragma unroll
      for (int w = 0; w < Policy::words; ++w)
        __pipeline_memcpy_async(at(r, v, w),
                                reinterpret_cast<const uint4*>(source + QkRow<Policy>::channel(lane, v)) + w,
                                sizeof(uint4));
  }
  /// Waits for all copies.
  __device__ void load(int r, QkRow<Policy>& row) const {
    __pipeline_wait_prior(0);
#pragma unroll
    for (int v = 0; v < Policy::vectors; ++v) {
      PackWords<typename Policy::Elements, uint4> words;
#pragma unroll
      for (int w = 0; w < Policy::words; ++w) words.at[w] = *at(r, v, w);
      row.vectors[v] = std::bit_cast<typename Policy::Elements>(words);
    }
  }

 private:
  __device__ uint4* at(int r, int v, int w) const {
    return slot_ + ((r * Policy::vectors + v) * Policy::words + w) * Policy::threads;
  }
  uint4* slot_;
};

/// Rotates a lane's shares of two rows, up to the factor that is returned.
template <class Policy>
__device__ float rotate_rows(float (&values)[2][Policy::vectors][Policy::vector]) {
  using T = typename Policy::Element;
  constexpr int count = Policy::vectors * Policy::vector;
  auto& all = reinterpret_cast<float(&)[2][count]>(values);
  if constexpr (sizeof(T) == 2) {
    std::uint32_t words[2][Policy::vectors][4];
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int v = 0; v < Policy::vectors; ++v) {
        const auto pairs =
            std::bit_cast<PackWords<typename Policy::Elements, std::uint32_t>>(round_pack<T>(values[r][v]));
#pragma unroll
        for (int w = 0; w < 4; ++w) words[r][v][w] = pairs.at[w];
      }
    hadamard_by_products<T>(words, all);
    return hadamard_norm<Policy::dim>;
  } else {
#pragma unroll
    for (auto& row : all) hadamard<Policy::lanes>(row);
    return 1;
  }
}

/// The largest of a block's values, none below zero: such floats are in the order of their bits, which a warp
/// reduces in one instruction. CUB's reduction of floats took a tenth of the kernel's instructions (with
/// it 1.05 ms, and without it and two divisions 0.84, for 75,888 x 48 x 128 queries and keys).
template <int threads>
class BlockLargest {
  static constexpr int warps = threads / warp_lanes;
  static_assert(warps <= warp_lanes && warp_lanes % warps == 0);

 public:
  struct Storage {
    unsigned of_warp[2][warps];
  };
  __device__ explicit BlockLargest(Storage& storage) : storage_(storage) {}

  __device__ float operator()(float value) {
    const unsigned of_warp = __reduce_max_sync(0xFFFF'FFFFu, __float_as_uint(value));
    if (threadIdx.x % warp_lanes == 0) storage_.of_warp[turn_][threadIdx.x / warp_lanes] = of_warp;
    __syncthreads();
    const unsigned largest = __reduce_max_sync(0xFFFF'FFFFu, storage_.of_warp[turn_][threadIdx.x % warps]);
    turn_ ^= 1;  // the other half was read by all before this barrier
    return __uint_as_float(largest);
  }

 private:
  Storage& storage_;
  int turn_ = 0;
};

/// Moves on by `step`. Behind the video the place is any.
__device__ inline RopePosition advance(RopePosition at, const RopePosition& step, const LatentShape& shape) {
  at.column += step.column, at.row += step.row, at.frame += step.frame;
  if (at.column >= shape.width) at.column -= shape.width, ++at.row;
  if (at.row >= shape.height) at.row -= shape.height, ++at.frame;
  return at;
}

template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks_per_multiprocessor)
    quantized_qk_kernel(QuantizedQkRuns<typename Policy::Element> params) {
  using T = typename Policy::Element;
  using Largest = BlockLargest<Policy::threads>;
  extern __shared__ uint4 shared_rows[];
  __shared__ typename Largest::Storage storage;
  const auto& [packed, norm, table, out] = params.of;

  const bool is_query = blockIdx.x % 2 == 0;
  const index_t head = blockIdx.x / 2, batch = blockIdx.z;
  const int lane = threadIdx.x % Policy::lanes, tokens = static_cast<int>(packed.tokens);
  const int first_block = static_cast<int>(blockIdx.y) * params.run;
  // Row r of a thread is r * rows_apart tokens further on.
  constexpr int rows_apart = Policy::tokens / Policy::rows;
  int token = first_block * Policy::tokens + static_cast<int>(threadIdx.x) / Policy::lanes;
  const T* source = packed.row(batch, token, head) + (is_query ? 0 : Policy::dim);
  // Stands in for what lies behind the last token: under a condition the compiler would split what it loads
  // into halves of words, an instruction each.
  const T* const first_source = packed.row(batch, 0, head) + (is_query ? 0 : Policy::dim);
  const T* weight = (is_query ? norm.query_weight : norm.key_weight).data;
  const QuantizedHeads<fp8_e4m3>& to = is_query ? out.queries : out.keys;
  fp8_e4m3* target = to.values.row(batch, token, head);
  RopePosition position = RopePosition::of(table, token);
  RopeTableView from_start = table;
  from_start.first_token = 0;
  const RopePosition step = RopePosition::of(from_start, rows_apart);

  NextRows<Policy> next(shared_rows);
  Largest largest(storage);
  const auto fetch = [&] {
#pragma unroll
    for (int r = 0; r < Policy::rows; ++r) {
      const bool is_token = token + r * rows_apart < tokens;
      next.fetch(r, is_token ? source + r * rows_apart * packed.token_stride : first_source, lane);
    }
    __pipeline_commit();
  };
  fetch();
  for (int i = 0; i < params.run && (first_block + i) * Policy::tokens < tokens; ++i) {
    const int first = token;
    QkRow<Policy> heads[Policy::rows];
#pragma unroll
    for (int r = 0; r < Policy::rows; ++r) {
      next.load(r, heads[r]);
      heads[r].normalize(weight, norm.epsilon, lane);
    }
    token += Policy::tokens, source += Policy::tokens * packed.token_stride;
    if (i + 1 < params.run && (first_block + i + 1) * Policy::tokens < tokens) fetch();

    float values[Policy::rows][Policy::vectors][Policy::vector], factor = 1, magnitude = 0;
#pragma unroll
    for (int r = 0; r < Policy::rows; ++r) {
      const bool is_token = first + r * rows_apart < tokens;
      turn_rows(reinterpret_cast<const QkRow<Policy>(&)[1]>(heads[r]), table,
                is_token ? position : RopePosition{}, lane,
                [&](int, int v, const float(&turned)[Policy::vector]) {
#pragma unroll
                  for (int c = 0; c < Policy::vector; ++c) values[r][v][c] = turned[c];
                });
      position = advance(position, step, table.shape);
    }
    if (out.rotation == HeadRotation::hadamard) factor = rotate_rows<Policy>(values);
#pragma unroll
    for (int r = 0; r < Policy::rows; ++r) {
      float of_row = 0;
#pragma unroll
      for (const auto& vector : values[r])
#pragma unroll
        for (const float value : vector) of_row = fmaxf(of_row, fabsf(value));
      if (first + r * rows_apart < tokens) magnitude = fmaxf(magnitude, of_row);
    }
    magnitude = largest(magnitude) * factor;
    if (threadIdx.x == 0) to.scale(batch, first_block + i, head) = Fp8Scale::of(magnitude).scale;
    const float inverse = Fp8Scale::of(magnitude).inverse * factor;
#pragma unroll
    for (int r = 0; r < Policy::rows; ++r) {
      if (first + r * rows_apart >= tokens) continue;
      fp8_e4m3* row = target + r * rows_apart * to.values.token_stride;
#pragma unroll
      for (int v = 0; v < Policy::vectors; ++v) {
#pragma unroll
        for (float& value : values[r][v]) value *= inverse;
        store_pack_once(row + QkRow<Policy>::channel(lane, v), round_pack<fp8_e4m3>(values[r][v]));
      }
    }
    target += Policy::tokens * to.values.token_stride;
  }
}

template <class Policy>
void launch_quantized_qk(Device device, const QuantizedQkParams<typename Policy::Element>& params) {
  const auto& packed = params.packed;
  const index_t blocks = quantization_blocks(packed.tokens), rows = 2 * packed.heads * packed.batch;
  const index_t run = std::clamp<index_t>(blocks * rows / Policy::least_blocks, 1, Policy::longest_run);
  for_each_grid_run(packed.batch, [&](index_t first, unsigned count) {
    launch({.grid = dim3(grid_blocks("qk_norm_rope", 2 * packed.heads),
                         static_cast<unsigned>((blocks + run - 1) / run), count),
            .block = Policy::threads,
            .shared_bytes = Policy::shared_bytes,
            .stream = device.stream},
           quantized_qk_kernel<Policy>,
           QuantizedQkRuns<typename Policy::Element>{params.from(first), static_cast<int>(run)});
  });
}

}  // namespace stepvideo
