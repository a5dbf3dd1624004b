// Float tiles in shared memory, and sums of outer products of their rows, in plain float32 arithmetic.
#pragma once
#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// `rows` rows of 64 floats. A row's groups of four trade places from one four rows to the next: 32 lanes
/// that write four neighbours of eight columns each, as a transposition does, meet every bank once, and so do
/// lanes that read or write a row.
template <int rows_>
struct alignas(16) FloatTile {
  static constexpr int rows = rows_, columns = 64;

  float values[rows * columns];

  __device__ float& at(int row, int column) { return values[place(row, column)]; }
  /// Four neighbours, the first at a multiple of four.
  __device__ float4& group(int row, int column) {
    return reinterpret_cast<float4&>(values[place(row, column)]);
  }
  __device__ const float4& group(int row, int column) const {
    return reinterpret_cast<const float4&>(values[place(row, column)]);
  }

 private:
  static __device__ int place(int row, int column) { return row * columns + (column ^ row / 4 % 8 * 4); }
};

/// A thread's share of a product of two tiles: the columns [left, left + 8) of one by [right, right + 4) of
/// the other.
struct OuterProductShare {
  static constexpr int left_columns = 8, right_columns = 4;
  int left, right;

  /// sums[i][j] += sum over the rows r of a(r, left + i) b(r, right + j), one row after another.
  template <int rows>
  __device__ void add(const FloatTile<rows>& a, const FloatTile<rows>& b,
                      float (&sums)[left_columns][right_columns]) const {
#pragma unroll 2
    for (int first = 0; first < rows; first += 4)
#pragma unroll
      for (int row = first; row < first + 4; ++row) {
        const float4 low = a.group(row, left), high = a.group(row, left + 4), other = b.group(row, right);
        const float of_a[left_columns] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        const float of_b[right_columns] = {other.x, other.y, other.z, other.w};
#pragma unroll
        for (int i = 0; i < left_columns; ++i)
#pragma unroll
          for (int j = 0; j < right_columns; ++j) sums[i][j] = fmaf(of_a[i], of_b[j], sums[i][j]);
      }
  }
};

}  // namespace stepvideo
