// Normal noise: the sampler's start, and weights for models that are measured without their files.
#pragma once
#include <concepts>
#include <cstdint>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/philox.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[i] = T(scale unit_normal(seed, first + i)): the same bits on every execution. `first` lets a rank fill
/// its share of a larger tensor, or the tensors of a model draw from one sequence; with scale 1 / sqrt(fan
/// in) a matrix keeps the magnitude of what it multiplies.
template <Element T>
void fill_normal(Host, std::uint64_t seed, std::uint64_t first, float scale, VectorView<T> out) {
  require_data("fill_normal", "out", out);
#pragma omp parallel for schedule(static)
  for (index_t i = 0; i < out.size; ++i)
    round_into(out[i], scale * unit_normal(seed, first + static_cast<std::uint64_t>(i)));
}

/// out[i] = unit_normal(seed, first + i).
template <Execution E>
void fill_unit_normal(E execution, std::uint64_t seed, std::uint64_t first, VectorView<float> out) {
  fill_normal(execution, seed, first, 1.0f, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct FillNormal;
}  // namespace calls

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::FillNormal, D>) void fill_normal(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::FillNormal, D>, "fill_normal on a Device is in <stepvideo/kernels/sampler/noise.cuh>, which nvcc compiles");
  // clang-format on
}

}  // namespace stepvideo
