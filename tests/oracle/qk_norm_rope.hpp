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
Sums norm_rope(HeadsView<const T> in, const T* weight, double epsilon, index_t height, index_t width,
               const int (&split)[3], index_t first_token) {
  const Sums normed = rms_norm<T>(in, weight, epsilon);
  return rope3d<double>(
      HeadsView<const double>::dense(normed.values.data(), in.batch, in.tokens, in.heads, in.dim), height,
      width, split, first_token);
}

/// Every run of `dim` values times the Walsh-Hadamard matrix over the root of dim. The roundings of so many
/// values have nothing to do with one another, so they add as their squares do: what was summed is twice the
/// root of the sum of the squares, where the sum itself would be allowed `dim` errors of one sign.
inline Sums hadamard(const Sums& rows, std::size_t dim) {
  Sums turned;
  const double root = std::sqrt(double(dim));
  for (std::size_t row = 0; row < rows.values.size(); row += dim) {
    double squares = 0;
    for (std::size_t j = 0; j < dim; ++j) squares += rows.summed[row + j] * rows.summed[row + j];
    for (std::size_t i = 0; i < dim; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < dim; ++j)
        sum += (std::popcount(i & j) % 2 ? -1.0 : 1.0) * rows.values[row + j] / root;
      turned.add(sum, 2 * std::sqrt(squares) / root);
    }
  }
  return turned;
}

}  // namespace stepvideo::oracle
