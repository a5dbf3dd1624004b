// Whether a step went wrong: how many values are NaN or infinite.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// 1 for NaN and infinities, 0 for all else.
struct NonFinite {
  template <Element T>
  constexpr std::uint64_t operator()(T value) const {
    constexpr std::uint32_t exponent = 0x7F80'0000u;
    return (std::bit_cast<std::uint32_t>(float(value)) & exponent) == exponent ? 1 : 0;
  }
};

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Bytes of the workspace that count_non_finite needs for `size` values of T.
template <Element T>
std::size_t count_non_finite_workspace(Host, index_t) {
  return 0;
}

/// *count = how many of `values` are NaN or infinite. Throws RequestError where the workspace is too small.
template <Element T>
void count_non_finite(Host, std::type_identity_t<VectorView<const T>> values, std::uint64_t* count,
                      Workspace = {}) {
  std::uint64_t found = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : found)
  for (index_t i = 0; i < values.size; ++i) found += NonFinite{}(values[i]);
  *count = found;
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
