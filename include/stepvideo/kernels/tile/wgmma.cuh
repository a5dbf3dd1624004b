// Warpgroup matrix products (wgmma): 64 rows a warpgroup, B in shared memory, A in shared memory or
// registers, float32 accumulators in registers. PTX ISA, "Asynchronous warpgroup level matrix instructions".
#pragma once
#include <cstdint>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

// Two ways of compiling would halve the speed on Hopper without a word: plain sm_90 has neither wgmma nor
// setmaxnreg, and ptxas ignores setmaxnreg and serialises wgmma in relocatable code. Who means it defines
// STEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS for the whole program. nvcc's shorthand -arch=sm_90a compiles for
// plain sm_90 as well and cannot be told from it.
#ifndef STEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ / 10 == 90 && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
// clang-format off
#error "stepvideo is being compiled for sm_90, where its Hopper kernels are empty; -gencode=arch=compute_90a,code=sm_90a has them (-arch=sm_90a adds plain sm_90), -DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS does without"
// clang-format on
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && defined(__CUDACC_RDC__)
// clang-format off
#error "stepvideo's Hopper kernels are being compiled with -rdc=true, which makes ptxas spill and serialise them; compile this file without it, or with -DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS"
// clang-format on
#endif
#endif

/// Whether the code being compiled may use what this header and setmaxnreg need: sm_90a, not plain sm_90.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && !defined(STEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS)
inline constexpr bool has_warpgroup_products = true;
#else
inline constexpr bool has_warpgroup_products = false;
#endif

/// A 64 x columns float32 accumulator, spread over the 128 threads of a warpgroup. With lane = 4 group + quad
/// in warp w of the four, a thread holds rows 16 w + group and 16 w + group + 8: at[4 i + 2 r + c] is row
/// group + 8 r, column 8 i + 2 quad + c. Each warp's part has the layout of mma.sync's accumulators.
template <int column_count>
struct Accumulator {
  static constexpr int columns = column_count, size = columns / 2;
  float at[size];

  /// The accumulator of the first columns: the same registers.
  template <int count>
  __device__ Accumulator<count>& first_columns() {
    static_assert(count % 8 == 0 && count <= columns);
    return reinterpret_cast<Accumulator<count>&>(*this);
  }
};

/// Where wgmma finds an operand in shared memory: rows of 128 bytes in the 128-byte swizzle that TMA writes,
/// eight rows (1024 bytes) an atom, atoms aligned to 1024 bytes.
struct SharedOperand {
  // The instruction's descriptor. The halves stay apart, so that advancing is one addition.
  std::uint32_t address_and_leading, stride_and_swizzle;

  /// Rows run along the operand's M or N, their bytes along K: what the product of queries and keys reads.
  /// Each eight rows lie `group_bytes` behind those before; neither they nor the first need begin an atom, as
  /// the swizzle goes by a byte's address.
  static __device__ SharedOperand along_depth(const void* tile, int group_bytes = 1024) {
    return make(tile, 16, group_bytes);
  }

  /// Rows run along K, their 64 two-byte elements along N: what the product of weights and values reads. The
  /// next 64 columns lie `panel_bytes` further on.
  static __device__ SharedOperand along_columns(const void* tile, int panel_bytes) {
    return make(tile, panel_bytes, 1024);
  }

  __device__ SharedOperand advanced(int bytes) const {
    return {address_and_leading + static_cast<std::uint32_t>(bytes >> 4), stride_and_swizzle};
  }
  __device__ std::uint64_t descriptor() const {
    return std::uint64_t{stride_and_swizzle} << 32 | address_and_leading;
  }

 private:
  static __device__ SharedOperand make(const void* tile, int leading_bytes, int group_bytes) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(tile));
    constexpr std::uint32_t swizzle_128 = 1u << 30;
    return {address >> 4 | static_cast<std::uint32_t>(leading_bytes >> 4) << 16,
            static_cast<std::uint32_t>(group_bytes >> 4) | swizzle_128};
  }
};

/// Orders ordinary accesses to accumulators and A registers before the products that follow.
__device__ inline void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/// Closes a group of products; wgmma_wait counts groups.
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most `pending` groups are unfinished.
template <int pending>
__device__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/// Keeps the compiler, which does not know what products in flight write, from moving accesses across.
template <int columns>
__device__ void keep_in_place(Accumulator<columns>& accumulator) {
#pragma unroll
  for (int i = 0; i < Accumulator<columns>::size; ++i) asm volatile("" : "+f"(accumulator.at[i])::"memory");
}

/// Says that what an accumulator holds is of no use any more.
template <int columns>
__device__ void forget(Accumulator<columns>& accumulator) {
#pragma unroll
  for (int i = 0; i < Accumulator<columns>::size; ++i) asm volatile("" : "=f"(accumulator.at[i])::"memory");
}

/// How B lies: SharedOperand::along_depth, or along_columns.
enum class Major { depth, columns };

/// One product, 32 bytes of depth: accumulator = A B, plus its old value with `accumulate`. A and B lie along
/// depth in shared memory. Built for the numbers of columns listed at the end.
template <class T, int columns>
__device__ void wgmma(Accumulator<columns>& accumulator, SharedOperand a, SharedOperand b, bool accumulate);

/// The same with A in registers, in mma.sync's layout: m16k16 for two-byte, m16k32 for one-byte elements.
/// One-byte elements know Major::depth only.
template <class T, int columns, Major b_major>
__device__ void wgmma(Accumulator<columns>& accumulator, const std::uint32_t (&a)[4], SharedOperand b,
                      bool accumulate);

// An instruction's register list must be spelt: AT is its text, OUT its operands.
#define STEPVIDEO_AT8(i0, i1, i2, i3, i4, i5, i6, i7) \
  "%" #i0 ", %" #i1 ", %" #i2 ", %" #i3 ", %" #i4 ", %" #i5 ", %" #i6 ", %" #i7
#define STEPVIDEO_OUT8(i)                                                                     \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define STEPVIDEO_AT_16 STEPVIDEO_AT8(0, 1, 2, 3, 4, 5, 6, 7) ", " STEPVIDEO_AT8(8, 9, 10, 11, 12, 13, 14, 15)
#define STEPVIDEO_OUT_16 STEPVIDEO_OUT8(0), STEPVIDEO_OUT8(8)
#define STEPVIDEO_AT_24 STEPVIDEO_AT_16 ", " STEPVIDEO_AT8(16, 17, 18, 19, 20, 21, 22, 23)
#define STEPVIDEO_OUT_24 STEPVIDEO_OUT_16, STEPVIDEO_OUT8(16)
#define STEPVIDEO_AT_32 STEPVIDEO_AT_24 ", " STEPVIDEO_AT8(24, 25, 26, 27, 28, 29, 30, 31)
#define STEPVIDEO_OUT_32 STEPVIDEO_OUT_24, STEPVIDEO_OUT8(24)
#define STEPVIDEO_AT_40 STEPVIDEO_AT_32 ", " STEPVIDEO_AT8(32, 33, 34, 35, 36, 37, 38, 39)
#define STEPVIDEO_OUT_40 STEPVIDEO_OUT_32, STEPVIDEO_OUT8(32)
#define STEPVIDEO_AT_64                                                                  \
  STEPVIDEO_AT_40 ", " STEPVIDEO_AT8(40, 41, 42, 43, 44, 45, 46, 47) ", " STEPVIDEO_AT8( \
      48, 49, 50, 51, 52, 53, 54, 55) ", " STEPVIDEO_AT8(56, 57, 58, 59, 60, 61, 62, 63)
#define STEPVIDEO_OUT_64 STEPVIDEO_OUT_40, STEPVIDEO_OUT8(40), STEPVIDEO_OUT8(48), STEPVIDEO_OUT8(56)
#define STEPVIDEO_AT_72 STEPVIDEO_AT_64 ", " STEPVIDEO_AT8(64, 65, 66, 67, 68, 69, 70, 71)
#define STEPVIDEO_OUT_72 STEPVIDEO_OUT_64, STEPVIDEO_OUT8(64)

#define STEPVIDEO_WGMMA_SHARED(T, TYPE, COLUMNS, DEPTH, LAYOUT, COUNT, I0, I1, I2, I3, I4, I5)   \
  template <>                                                                                    \
  __device__ inline void wgmma<T, COLUMNS>(Accumulator<COLUMNS> & accumulator, SharedOperand a,  \
                                           SharedOperand b, bool accumulate) {                   \
    float(&d)[COUNT] = accumulator.at;                                                           \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #I2                                        \
                 ", 0;\n"                                                                        \
                 "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k" #DEPTH ".f32." TYPE "." TYPE   \
                 " {" STEPVIDEO_AT_##COUNT "}, %" #I0 ", %" #I1 ", p, 1, 1" LAYOUT ";\n}"        \
                 : STEPVIDEO_OUT_##COUNT                                                         \
                 : "l"(a.descriptor()), "l"(b.descriptor()), "r"(static_cast<int>(accumulate))); \
  }
#define STEPVIDEO_WGMMA_REGISTERS(T, TYPE, COLUMNS, MAJOR, DEPTH, LAYOUT, COUNT, I0, I1, I2, I3, I4, I5)  \
  template <>                                                                                             \
  __device__ inline void wgmma<T, COLUMNS, Major::MAJOR>(                                                 \
      Accumulator<COLUMNS> & accumulator, const std::uint32_t(&a)[4], SharedOperand b, bool accumulate) { \
    float(&d)[COUNT] = accumulator.at;                                                                    \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #I5                                                 \
                 ", 0;\n"                                                                                 \
                 "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k" #DEPTH ".f32." TYPE "." TYPE            \
                 " {" STEPVIDEO_AT_##COUNT "}, {%" #I0 ", %" #I1 ", %" #I2 ", %" #I3 "}, %" #I4           \
                                           ", p, 1, 1" LAYOUT ";\n}"                                      \
                 : STEPVIDEO_OUT_##COUNT                                                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.descriptor()),                       \
                   "r"(static_cast<int>(accumulate)));                                                    \
  }
#define STEPVIDEO_WGMMA_SCORES(COLUMNS, ...)                               \
  STEPVIDEO_WGMMA_SHARED(bf16, "bf16", COLUMNS, 16, ", 0, 0", __VA_ARGS__) \
  STEPVIDEO_WGMMA_SHARED(fp16, "f16", COLUMNS, 16, ", 0, 0", __VA_ARGS__)
#define STEPVIDEO_WGMMA_SUMS(COLUMNS, ...)                                          \
  STEPVIDEO_WGMMA_REGISTERS(bf16, "bf16", COLUMNS, columns, 16, ", 1", __VA_ARGS__) \
  STEPVIDEO_WGMMA_REGISTERS(fp16, "f16", COLUMNS, columns, 16, ", 1", __VA_ARGS__)
STEPVIDEO_WGMMA_SCORES(32, 16, 16, 17, 18, 19, 20, 21)
STEPVIDEO_WGMMA_SCORES(48, 24, 24, 25, 26, 27, 28, 29)
STEPVIDEO_WGMMA_SCORES(80, 40, 40, 41, 42, 43, 44, 45)
STEPVIDEO_WGMMA_SCORES(128, 64, 64, 65, 66, 67, 68, 69)
STEPVIDEO_WGMMA_SUMS(64, 32, 32, 33, 34, 35, 36, 37)
STEPVIDEO_WGMMA_SUMS(128, 64, 64, 65, 66, 67, 68, 69)
STEPVIDEO_WGMMA_SHARED(fp8_e4m3, "e4m3", 128, 32, "", 64, 64, 65, 66, 67, 68, 69)
STEPVIDEO_WGMMA_REGISTERS(fp8_e4m3, "e4m3", 144, depth, 32, "", 72, 72, 73, 74, 75, 76, 77)

#undef STEPVIDEO_WGMMA_SCORES
#undef STEPVIDEO_WGMMA_SUMS
#undef STEPVIDEO_WGMMA_REGISTERS
#undef STEPVIDEO_WGMMA_SHARED
#undef STEPVIDEO_AT8
#undef STEPVIDEO_OUT8
#undef STEPVIDEO_AT_16
#undef STEPVIDEO_OUT_16
#undef STEPVIDEO_AT_24
#undef STEPVIDEO_OUT_24
#undef STEPVIDEO_AT_32
#undef STEPVIDEO_OUT_32
#undef STEPVIDEO_AT_40
#undef STEPVIDEO_OUT_40
#undef STEPVIDEO_AT_64
#undef STEPVIDEO_OUT_64
#undef STEPVIDEO_AT_72
#undef STEPVIDEO_OUT_72

}  // namespace stepvideo
