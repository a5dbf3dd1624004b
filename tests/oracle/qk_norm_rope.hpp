// Normed and turned heads as the formulas say, in double.
#pragma once
#include <bit>
#include <cmath>
#include <vector>

#include "oracle/rms_norm.hpp"
#include "oracle/rope.hpp"

namespace stepvideo::oracle {

/// (batch, tokens, heads, dim), dense.
template <class T>
std::vector<double> norm_rope(HeadsView<const T> in, const T* weight, double epsilon, index_t height,
                              index_t width, const int (&split)[3], index_t first_token) {
  const std::vector<double> normed = rms_norm<T>(in, weight, epsilon);
  return rope3d<double>(HeadsView<const double>::dense(normed.data(), in.batch, in.tokens, in.heads, in.dim),
                        height, width, split, first_token);
}

/// Every run of `dim` values times the Walsh-Hadamard matrix over the root of dim.
inline void hadamard(std::vector<double>& values, std::size_t dim) {
  for (std::size_t row = 0; row < values.size(); row += dim) {
    std::vector<double> turned(dim);
    for (std::size_t i = 0; i < dim; ++i)
      for (std::size_t j = 0; j < dim; ++j)
        turned[i] += (std::popcount(i & j) % 2 ? -1.0 : 1.0) * values[row + j] / std::sqrt(double(dim));
    std::copy(turned.begin(), turned.end(), values.begin() + std::ptrdiff_t(row));
  }
}

}  // namespace stepvideo::oracle
