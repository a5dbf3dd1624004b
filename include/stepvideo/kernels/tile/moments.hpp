// Means and variances that are computed in pieces and merged.
#pragma once
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/simd.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Count, mean and summed squared deviations of a set of numbers (Chan, Golub and LeVeque, 1983: merging two
/// sets loses nothing to cancellation).
struct Moments {
  double count = 0, mean = 0, deviations = 0;

  constexpr void merge(const Moments& other) {
    if (other.count == 0) return;
    const double total = count + other.count, difference = other.mean - mean, share = other.count / total;
    deviations += other.deviations + difference * difference * count * share;
    mean += difference * share;
    count = total;
  }
  constexpr double variance() const { return deviations / count; }
};

/// The moments of up to simd_floats neighbouring columns.
struct ColumnMoments {
  FloatVector origin, offset, deviations;  ///< mean = origin + offset

  Moments of(int lane, index_t rows) const {
    return {static_cast<double>(rows), static_cast<double>(origin[lane]) + static_cast<double>(offset[lane]),
            static_cast<double>(deviations[lane])};
  }
};

/// Moments of `lanes` columns over `rows` rows that are `row_stride` elements apart. Means are taken relative
/// to the first row, so that columns far from zero keep their digits.
template <class T>
ColumnMoments column_moments(const T* first, index_t rows, index_t row_stride, int lanes) {
  const auto load = [&](index_t row) {
    const T* source = first + row * row_stride;
    if (lanes == simd_floats) return load_floats(source);
    FloatVector values{};
    for (int lane = 0; lane < lanes; ++lane) values[lane] = float(source[lane]);
    return values;
  };
  const FloatVector origin = load(0);
  FloatVector sum{}, deviations{};
  for (index_t row = 1; row < rows; ++row) sum += load(row) - origin;
  const FloatVector offset = sum / static_cast<float>(rows);
  for (index_t row = 0; row < rows; ++row) {
    const FloatVector deviation = (load(row) - origin) - offset;
    deviations += deviation * deviation;
  }
  return {origin, offset, deviations};
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
