// LayerNorm as its formula says, in double.
#pragma once
#include <cmath>

#include <stepvideo/core/view.hpp>

#include "oracle/sums.hpp"

namespace stepvideo::oracle {

/// (batch, tokens, width): the normalised values, before any affine or modulation. What was summed are the
/// value and the mean, over the deviation.
template <class T>
Sums layer_norm(TokensView<const T> in, double epsilon) {
  Sums out;
  for (index_t b = 0; b < in.batch; ++b)
    for (index_t t = 0; t < in.tokens; ++t) {
      const T* row = in.row(b, t);
      double mean = 0, magnitude = 0, variance = 0;
      for (index_t i = 0; i < in.width; ++i) {
        mean += double(row[i]) / double(in.width);
        magnitude += std::abs(double(row[i])) / double(in.width);
      }
      for (index_t i = 0; i < in.width; ++i)
        variance += std::pow(double(row[i]) - mean, 2) / double(in.width);
      const double deviation = std::sqrt(variance + epsilon);
      for (index_t i = 0; i < in.width; ++i)
        out.add((double(row[i]) - mean) / deviation, (std::abs(double(row[i])) + magnitude) / deviation);
    }
  return out;
}

}  // namespace stepvideo::oracle
