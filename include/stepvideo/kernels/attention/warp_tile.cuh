// Rows of queries, keys and values on their way to shared memory and in it, and of results on their way out.
#pragma once
#include <cstddef>
#include <cstdint>

#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/alignment.hpp>
#include <stepvideo/kernels/tile/async_copy.cuh>
#include <stepvideo/kernels/tile/swizzle.hpp>

namespace stepvideo {

/// Tokens of one head in global memory.
template <class T>
struct TokenRows {
  T* data;
  index_t stride;
  bool is_aligned;  ///< Rows start at multiples of 16 bytes.
};

/// All heads; made on the host, which looks at the alignment once.
template <class T>
struct AlignedHeads {
  HeadsView<T> view;
  bool is_aligned;

  AlignedHeads(HeadsView<T> heads) : view(heads), is_aligned(!misalignment("", heads)) {}

  __device__ TokenRows<T> rows(int batch, int head) const {
    return {view.row(batch, 0, head), view.token_stride, is_aligned};
  }
};

/// The factor of the scores in two parts: a scale above zero, which softmax needs to compare unscaled scores,
/// and a change of the queries' bits, which no usual scale asks for.
struct QueryFactor {
  float scale;
  std::uint32_t keep, flip;  ///< A pair of elements becomes (pair & keep) ^ flip.

  static constexpr QueryFactor of(float scale) {
    constexpr std::uint32_t all = 0xFFFF'FFFFu, signs = 0x8000'8000u;
    if (scale == 0) return {1.0f, 0, 0};
    return scale < 0 ? QueryFactor{-scale, all, signs} : QueryFactor{scale, all, 0};
  }
  /// Changes one warp's queries in shared memory.
  template <int bytes>
  __device__ void apply(std::byte* queries) const {
    if (~keep == 0 && flip == 0) return;
    for (int at = static_cast<int>(threadIdx.x) % 32 * 4; at < bytes; at += 32 * 4) {
      auto& pair = *reinterpret_cast<std::uint32_t*>(queries + at);
      pair = (pair & keep) ^ flip;
    }
    __syncwarp();
  }
};

/// The tiles of one head's tokens on their way to shared memory, as SwizzledRows<2 dim>, one after another;
/// each of a block's threads has its part. Tokens from `end` on are zeros. Aligned rows are copied
/// asynchronously, others through registers. The block may read a tile after its next wait_for_copies() and
/// barrier.
template <class T, int tokens, int dim, int threads>
class TileStream {
  using Layout = SwizzledRows<dim * sizeof(T)>;
  static constexpr int rows_at_once = threads / Layout::chunks,
                       chunk_elements = Layout::chunk_bytes / sizeof(T);
  static_assert(tokens % rows_at_once == 0 && rows_at_once % 8 == 0);

 public:
  __device__ TileStream(const TokenRows<const T>& source, int first, int end)
      : from_(source.data + (first + static_cast<int>(row())) * source.stride + chunk() * chunk_elements),
        step_(source.stride * rows_at_once),
        left_(end - first - static_cast<int>(row())),
        is_aligned_(source.is_aligned) {}

  /// Copies the current tile to shared memory and goes on to the next one.
  __device__ void copy(std::byte* target) {
    std::byte* const to = target + Layout::offset(row(), chunk());
    if (is_aligned_) {
#pragma unroll
      for (int i = 0; i < tokens; i += rows_at_once, from_ += step_)
        copy_async_16(shared_address(to) + i * Layout::row_bytes, from_, i < left_);
    } else {
#pragma unroll 1
      for (int i = 0; i < tokens; i += rows_at_once, from_ += step_)
#pragma unroll 1
        for (int e = 0; e < chunk_elements; ++e)
          reinterpret_cast<T*>(to + i * Layout::row_bytes)[e] = i < left_ ? from_[e] : T::from_bits(0);
    }
    left_ -= tokens;
  }

 private:
  static __device__ unsigned chunk() {
    return threadIdx.x % Layout::chunks;
  }
  static __device__ unsigned row() {
    return threadIdx.x / Layout::chunks;
  }

  const T* from_;
  index_t step_;
  int left_;
  bool is_aligned_;
};

/// Copies one warp's rows from shared memory (SwizzledRows<2 dim>, first row a multiple of eight) to the
/// tokens [first, first + rows), those before `end`.
template <int rows, int dim, class T>
__device__ inline void store_tokens(const std::byte* source, const TokenRows<T>& target, int first, int end) {
  using Layout = SwizzledRows<dim * sizeof(T)>;
  constexpr int rows_at_once = 32 / Layout::chunks, chunk_elements = Layout::chunk_bytes / sizeof(T);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int chunk = lane % Layout::chunks;
  for (int row = lane / Layout::chunks; row < rows; row += rows_at_once) {
    if (first + row >= end) break;
    const std::byte* from = source + Layout::offset(row, chunk);
    T* to = target.data + (first + row) * target.stride + chunk * chunk_elements;
    if (target.is_aligned) {
      *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int e = 0; e < chunk_elements; ++e) to[e] = reinterpret_cast<const T*>(from)[e];
    }
  }
}

}  // namespace stepvideo
