// The sampler's start: unit normal noise.
#pragma once
#include <cstdint>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/philox.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[i] = unit_normal(seed, first + i). `first` lets a rank fill its share of a larger tensor.
inline void fill_unit_normal(Host, std::uint64_t seed, std::uint64_t first, VectorView<float> out) {
#pragma omp parallel for schedule(static)
  for (index_t i = 0; i < out.size; ++i) out[i] = unit_normal(seed, first + static_cast<std::uint64_t>(i));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
