// A dense layer as its formula says, in double.
#pragma once
#include <cmath>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

/// in weight^T, row by row.
template <class T>
std::vector<double> linear(MatrixView<const T> in, MatrixView<const T> weight) {
  std::vector<double> out;
  for (index_t r = 0; r < in.rows; ++r)
    for (index_t c = 0; c < weight.rows; ++c) {
      double sum = 0;
      for (index_t k = 0; k < in.columns; ++k) sum += double(in.row(r)[k]) * double(weight.row(c)[k]);
      out.push_back(sum);
    }
  return out;
}

/// The sums of the absolute values of what `linear` adds up.
template <class T>
std::vector<double> linear_summed(MatrixView<const T> in, MatrixView<const T> weight) {
  std::vector<double> out;
  for (index_t r = 0; r < in.rows; ++r)
    for (index_t c = 0; c < weight.rows; ++c) {
      double sum = 0;
      for (index_t k = 0; k < in.columns; ++k)
        sum += std::abs(double(in.row(r)[k]) * double(weight.row(c)[k]));
      out.push_back(sum);
    }
  return out;
}

inline double silu(double x) {
  return x / (1 + std::exp(-x));
}
inline double gelu_tanh(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
inline double gelu_erf(double x) {
  return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
}

}  // namespace stepvideo::oracle
