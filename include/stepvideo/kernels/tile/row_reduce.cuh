// Reductions whose result every participant gets: over the lanes that share a row, and over a block.
#pragma once
#include <cub/util_ptx.cuh>
#include <cub/warp/warp_reduce.cuh>

#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

inline constexpr int warp_lanes = 32;

/// Over each run of `lanes` neighbouring lanes (a power of two, up to a warp); every lane of the warp takes
/// part. `group` counts the runs of the block.
template <int lanes>
struct LanesAllReduce {
  using Reduce = cub::WarpReduce<float, lanes>;
  using Storage = typename Reduce::TempStorage;

  template <class Op>
  static __device__ float reduce(Storage& storage, float value, Op op) {
    const float first_lanes = Reduce(storage).Reduce(value, op);  // the first lane's alone is the result
    return cub::ShuffleIndex<lanes>(first_lanes, 0, 0xFFFF'FFFFu);
  }
};

/// Over a block of `threads`, `count` values at a time behind one barrier. The order of a sum depends on
/// nothing but `threads`.
template <int threads, int count = 1>
class BlockAllReduce {
  static_assert(threads % warp_lanes == 0);
  static constexpr int warps = threads / warp_lanes;
  using WarpReduce = cub::WarpReduce<float>;

 public:
  struct Storage {
    typename WarpReduce::TempStorage warp[count][warps];
    alignas(16) float partials[2][count][warps];
  };

  __device__ explicit BlockAllReduce(Storage& storage) : storage_(storage) {}

  /// Each of `values` becomes its reduction over the block. All threads call this.
  template <class Op>
  __device__ void operator()(float (&values)[count], Op op) {
    const int warp = threadIdx.x / warp_lanes;
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const float of_warp = WarpReduce(storage_.warp[i][warp]).Reduce(values[i], op);
      if (threadIdx.x % warp_lanes == 0) storage_.partials[turn_][i][warp] = of_warp;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < count; ++i) {
      values[i] = storage_.partials[turn_][i][0];
#pragma unroll
      for (int w = 1; w < warps; ++w) values[i] = op(values[i], storage_.partials[turn_][i][w]);
    }
    // The next call writes the other half, which every thread has read before it met this call's barrier.
    turn_ ^= 1;
  }
  /// The reduction of one value of each thread.
  template <class Op>
  __device__ float operator()(float value, Op op) requires(count == 1) {
    float values[1] = {value};
    (*this)(values, op);
    return values[0];
  }

 private:
  Storage& storage_;
  int turn_ = 0;
};

/// LargerMagnitude as one instruction.
struct LargerMagnitudeOfLane {
  __device__ float operator()(float largest, float value) const { return fmaxf(largest, fabsf(value)); }
};

}  // namespace stepvideo
