// The normalised Walsh-Hadamard transform of a short row. It is its own inverse and keeps inner products, so
// queries and keys that both went through it have the scores they had, with outliers spread over all
// channels.
#pragma once
#include <cmath>

#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Lengths that have one.
constexpr bool has_hadamard(index_t size) {
  return size > 0 && (size & (size - 1)) == 0;
}

/// row[i] = sum over j of (-1)^(common one bits of i and j) row[j] / sqrt(size), in place and in float32;
/// `size` is a power of two.
inline void hadamard(float* row, index_t size) {
  for (index_t stride = 1; stride < size; stride *= 2)
    for (index_t first = 0; first < size; first += 2 * stride)
#pragma omp simd
      for (index_t i = first; i < first + stride; ++i) {
        const float a = row[i], b = row[i + stride];
        row[i] = a + b;
        row[i + stride] = a - b;
      }
  const float norm = 1.0f / std::sqrt(static_cast<float>(size));
#pragma omp simd
  for (index_t i = 0; i < size; ++i) row[i] *= norm;
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
