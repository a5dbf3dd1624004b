// The product of a tile of pixels and a tile of weights that lie in shared memory, 64 by 64 results of 32
// input channels at a time: with mma.sync, or for float in plain arithmetic.
#pragma once
#include <concepts>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>
#include <stepvideo/kernels/tile/async_copy.cuh>
#include <stepvideo/kernels/tile/float_tile.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// What both products share: a tile's extents and its threads.
struct ConvProductTile {
  static constexpr int rows = 64, depth = 32, threads = 128;
  /// Input channels that a thread brings of one pixel and of one output channel.
  static constexpr int thread_depth = rows * depth / threads;
};

/// Four warps, each 32 pixels by 32 output channels.
template <Element T>
class ConvProducts {
 public:
  using Staged = Pack<T, ConvProductTile::thread_depth>;
  /// Rows of 80 bytes: the eight of a matrix lie on different banks.
  struct Tile {
    static constexpr int pitch = ConvProductTile::depth + 8;
    alignas(16) T values[ConvProductTile::rows * pitch];

    __device__ void put(int row, int depth, const Staged& staged) {
      *reinterpret_cast<Staged*>(values + row * pitch + depth) = staged;
    }
  };

  __device__ void add(const Tile& pixels, const Tile& weights) {
    const int lane = threadIdx.x % 32;
    const auto fragment = [&](const Tile& tile, int first_row, int depth) {
      return load_matrices(
          shared_address(tile.values + (first_row + lane % 16) * Tile::pitch + depth + lane / 16 * 8));
    };
#pragma unroll
    for (int depth = 0; depth < ConvProductTile::depth; depth += 16) {
      MmaFragment left[2], right[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        left[i] = fragment(pixels, first_row() + 16 * i, depth);
        right[i] = fragment(weights, first_column() + 16 * i, depth);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          multiply_add<T>(sums_[i][j], left[i], right[j / 2].words[j % 2], right[j / 2].words[j % 2 + 2]);
    }
  }
  /// Calls visit(row, column, sum).
  template <class Visit>
  __device__ void for_each(Visit&& visit) const {
    const int lane = threadIdx.x % 32;
    const int row = first_row() + AccumulatorRows::first_row(lane),
              column = first_column() + AccumulatorRows::first_column(lane);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int k = 0; k < 4; ++k)
          visit(row + 16 * i + 8 * AccumulatorRows::row_of(k), column + 8 * j + AccumulatorRows::column_of(k),
                sums_[i][j][k]);
  }

 private:
  static __device__ int first_row() {
    return threadIdx.x / 64 * 32;
  }
  static __device__ int first_column() {
    return threadIdx.x / 32 % 2 * 32;
  }

  float sums_[2][4][4] = {};
};

/// Each thread eight pixels by four output channels.
template <>
class ConvProducts<float> {
 public:
  using Staged = Pack<float, ConvProductTile::thread_depth>;
  struct Tile {
    FloatTile<ConvProductTile::depth> values;

    __device__ void put(int row, int depth, const Staged& staged) {
#pragma unroll
      for (int i = 0; i < ConvProductTile::thread_depth; ++i) values.at(depth + i, row) = staged.elements[i];
    }
  };

  __device__ void add(const Tile& pixels, const Tile& weights) {
    share().add(pixels.values, weights.values, sums_);
  }
  template <class Visit>
  __device__ void for_each(Visit&& visit) const {
    const OuterProductShare at = share();
#pragma unroll
    for (int i = 0; i < OuterProductShare::left_columns; ++i)
#pragma unroll
      for (int j = 0; j < OuterProductShare::right_columns; ++j)
        visit(at.left + i, at.right + j, sums_[i][j]);
  }

 private:
  static __device__ OuterProductShare share() {
    const int thread = threadIdx.x;
    return {.left = thread / 16 * OuterProductShare::left_columns,
            .right = thread % 16 * OuterProductShare::right_columns};
  }

  float sums_[OuterProductShare::left_columns][OuterProductShare::right_columns] = {};
};

}  // namespace stepvideo
