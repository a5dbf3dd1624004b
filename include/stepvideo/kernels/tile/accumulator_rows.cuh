// Which element of a tile a register of an accumulator holds.
#pragma once
#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// The layout of the float32 accumulators of mma.sync, 16 rows a warp, and of wgmma, 64 rows a warpgroup. A
/// thread has two rows, eight apart, and two neighbouring columns of every eight. `thread` counts within the
/// warp or the warpgroup.
struct AccumulatorRows {
  static __device__ int first_row(int thread) { return thread / 32 * 16 + thread % 32 / 4; }
  static __device__ int first_column(int thread) { return thread % 4 * 2; }
  /// Register i is of the first row (0) or of the second (1), this many columns behind the first.
  static constexpr int row_of(int i) { return i / 2 % 2; }
  static constexpr int column_of(int i) { return i / 4 * 8 + i % 2; }
};

}  // namespace stepvideo
