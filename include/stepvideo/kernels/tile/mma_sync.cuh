// One warp's matrix products, for compute capability 8.0 and later. A thread's place: row lane / 4 of every
// eight, columns 2 (lane % 4) and the next.
#pragma once
#include <concepts>
#include <cstdint>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// 16 x 16 elements of the left operand, or two neighbouring 16 x 8 tiles of the right one: four 8 x 8
/// matrices, two elements a register.
struct MmaFragment {
  std::uint32_t words[4];
};

/// Four 8 x 8 matrices of 16-bit elements from shared memory; lane i gives the address of row i % 8 of matrix
/// i / 8.
__device__ inline MmaFragment load_matrices(std::uint32_t row_address) {
  MmaFragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.words[0]), "=r"(f.words[1]), "=r"(f.words[2]), "=r"(f.words[3])
               : "r"(row_address)
               : "memory");
  return f;
}
/// The same, each matrix transposed.
__device__ inline MmaFragment load_matrices_transposed(std::uint32_t row_address) {
  MmaFragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.words[0]), "=r"(f.words[1]), "=r"(f.words[2]), "=r"(f.words[3])
               : "r"(row_address)
               : "memory");
  return f;
}

/// Four 8 x 8 matrices of 16-bit elements to shared memory, rows addressed as in load_matrices; from compute
/// capability 9.0 on.
__device__ inline void store_matrices(std::uint32_t row_address, const MmaFragment& f) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row_address),
               "r"(f.words[0]), "r"(f.words[1]), "r"(f.words[2]), "r"(f.words[3])
               : "memory");
}

/// sums(16 x 8) += left(16 x 16) right(16 x 8), in float32; `low` and `high` are the right operand's rows 0-7
/// and 8-15.
template <class T>
__device__ inline void multiply_add(float (&sums)[4], const MmaFragment& left, std::uint32_t low,
                                    std::uint32_t high) {
  const auto& a = left.words;
  if constexpr (std::same_as<T, bf16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high));
  } else {
    static_assert(std::same_as<T, fp16>);
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high));
  }
}

/// Two floats rounded to T, the first in the lower half.
template <class T>
__device__ inline std::uint32_t round_pair(float first, float second) {
  std::uint32_t pair;
  if constexpr (std::same_as<T, bf16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  } else {
    static_assert(std::same_as<T, fp16>);
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  }
  return pair;
}

}  // namespace stepvideo
