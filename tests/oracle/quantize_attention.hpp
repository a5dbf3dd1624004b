// Fp8 operands read back in double, and the rotation by its formula.
#pragma once
#include <bit>
#include <cmath>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

/// row H / sqrt(size), H[i][j] = (-1)^(number of one bits that i and j share).
inline std::vector<double> rotated(const std::vector<double>& row) {
  std::vector<double> result(row.size(), 0.0);
  for (std::size_t i = 0; i < row.size(); ++i) {
    for (std::size_t j = 0; j < row.size(); ++j) result[i] += std::popcount(i & j) % 2 ? -row[j] : row[j];
    result[i] /= std::sqrt(static_cast<double>(row.size()));
  }
  return result;
}

/// The tokens whose values lie at positions 0 to 15 of a run of 16.
inline constexpr int tokens_at_positions[16] = {0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15};

}  // namespace stepvideo::oracle
