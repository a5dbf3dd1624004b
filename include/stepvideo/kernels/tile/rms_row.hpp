// RMSNorm of one row on the host: what the norm itself and the kernels that fuse it have in common.
#pragma once
#include <cmath>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// target = T(source / sqrt(mean(source^2) + epsilon)) * weight over `dim` channels: float32 inside, rounded
/// to T, then multiplied by the weight. The target may be the source.
template <Element T>
void rms_norm_row(const T* source, const T* weight, index_t dim, float epsilon, T* target) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (index_t i = 0; i < dim; ++i) squares += float(source[i]) * float(source[i]);
  const float scale = 1.0f / std::sqrt(squares / static_cast<float>(dim) + epsilon);
#pragma omp simd
  for (index_t i = 0; i < dim; ++i)
    round_into(target[i], float(T(float(source[i]) * scale)) * float(weight[i]));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
