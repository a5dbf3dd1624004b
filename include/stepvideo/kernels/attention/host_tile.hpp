// The host's register tiles for attention. Scores and results are kept transposed, queries along the vector
// lanes: softmax then needs no sum across a register, and both products are the same outer-product kernel.
#pragma once
#include <utility>

#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/simd.hpp>

// nvcc's front end does not know the host compiler's unroll pragmas and passes them on.
#ifdef __CUDACC__
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Accumulators are `rows` x `vectors` registers; a register in four is left for operands.
struct RegisterTile {
  static constexpr int rows = simd_registers == 32 ? 8 : 4, vectors = 3;
};

/// out[row][lane] = out[row][lane] * factor[lane] + sum over depth of a(row, depth) * b[depth][lane], for
/// RegisterTile::rows rows and `vectors` registers of lanes. a(row, depth) = a[row * a_row + depth *
/// a_depth]; b and out have `lanes` floats a row. Without `factor` the old values of out are not read.
template <int vectors>
void outer_product(const float* a, index_t a_row, index_t a_depth, const float* b, index_t depth,
                   index_t lanes, const float* factor, float* out) {
  constexpr int rows = RegisterTile::rows;
  FloatVector sums[rows][vectors];
#pragma GCC unroll 8
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      sums[row][v] = factor == nullptr ? FloatVector{}
                                       : load_floats(out + row * lanes + v * simd_floats) *
                                             load_floats(factor + v * simd_floats);
  for (index_t k = 0; k < depth; ++k) {
    FloatVector operand[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) operand[v] = load_floats(b + k * lanes + v * simd_floats);
#pragma GCC unroll 8
    for (int row = 0; row < rows; ++row) {
      const float scalar = a[row * a_row + k * a_depth];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[row][v] += scalar * operand[v];
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store_floats(out + row * lanes + v * simd_floats, sums[row][v]);
}

/// The same for any multiple of RegisterTile::rows rows and all `lanes`, a multiple of simd_floats.
inline void outer_products(const float* a, index_t a_row, index_t a_depth, index_t rows, const float* b,
                           index_t depth, index_t lanes, const float* factor, float* out) {
  constexpr index_t step = RegisterTile::vectors * simd_floats;
  for (index_t lane = 0; lane < lanes; lane += step) {
    const index_t vectors = (lanes - lane) / simd_floats;
    const auto product = vectors >= 3 ? outer_product<3> : vectors == 2 ? outer_product<2> : outer_product<1>;
    for (index_t row = 0; row < rows; row += RegisterTile::rows)
      product(a + row * a_row, a_row, a_depth, b + lane, depth, lanes,
              factor == nullptr ? nullptr : factor + lane, out + row * lanes + lane);
  }
}

/// A square of registers; transpose() swaps rows and lanes.
struct Square {
  FloatVector rows[simd_floats];

  void transpose() { exchange<1>(std::make_integer_sequence<int, simd_floats>{}); }

 private:
  using Lanes [[gnu::vector_size(simd_floats * sizeof(int))]] = int;

  /// Lanes of two registers: the second's count on from the first's.
  template <int... lane>
  static FloatVector shuffle(FloatVector first, FloatVector second) {
#ifdef __clang__  // which knows only GCC 12's newer builtin, whose packs nvcc's front end misreads
    return {(lane < simd_floats ? first[lane % simd_floats] : second[lane % simd_floats])...};
#else
    return __builtin_shuffle(first, second, Lanes{lane...});
#endif
  }

  // For each bit of the index, rows that differ in that bit exchange the lanes that differ in it.
  template <int bit, int... lane>
  void exchange(std::integer_sequence<int, lane...> lanes) {
#pragma GCC unroll 16
    for (int row = 0; row < simd_floats; ++row) {
      if (row & bit) continue;
      const FloatVector first = rows[row], second = rows[row | bit];
      rows[row] = shuffle<(lane & bit ? (lane ^ bit) + simd_floats : lane)...>(first, second);
      rows[row | bit] = shuffle<(lane & bit ? lane + simd_floats : lane ^ bit)...>(first, second);
    }
    if constexpr (2 * bit < simd_floats) exchange<2 * bit>(lanes);
  }
};

}  // namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET

#ifdef __CUDACC__
#pragma nv_diagnostic pop
#endif
