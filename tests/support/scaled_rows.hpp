// Rows of fp8 with a scale each, against what they should hold.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <stepvideo/core/buffer.hpp>

#include "oracle/sums.hpp"
#include "support/compare.hpp"

namespace stepvideo::testing {

/// Each row of fp8, scaled back: its largest value is 448 scales, and each value the nearest.
inline void check_scaled_rows(const std::vector<double>& values, const Buffer<float>& scales,
                              const oracle::Sums& expected, Budget budget) {
  const auto width = static_cast<std::ptrdiff_t>(values.size()) / scales.size();
  for (index_t row = 0; row < scales.size(); ++row) {
    const auto of_row = [&](const std::vector<double>& all) {
      return std::vector<double>(all.begin() + row * width, all.begin() + (row + 1) * width);
    };
    const auto exact = of_row(expected.values), summed = of_row(expected.summed);
    double largest = 0, largest_summed = 0;
    for (const double value : exact) largest = std::max(largest, std::abs(value));
    for (const double value : summed) largest_summed = std::max(largest_summed, value);
    budget.scale = 448;
    check_each<float>(std::vector{scales[row]}, std::vector{largest}, largest_summed, budget);
    budget.scale = double{scales[row]};
    check_each<fp8_e4m3>(of_row(values), exact, summed, budget);
  }
}

}  // namespace stepvideo::testing
