// RMSNorm as its formula says, in double.
#pragma once
#include <cmath>
#include <concepts>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>

#include "oracle/sums.hpp"

namespace stepvideo::oracle {

/// (batch, tokens, heads, dim), dense.
template <class T>
Sums rms_norm(HeadsView<const T> in, const T* weight, double epsilon) {
  Sums out;
  for (index_t b = 0; b < in.batch; ++b)
    for (index_t t = 0; t < in.tokens; ++t)
      for (index_t h = 0; h < in.heads; ++h) {
        const T* row = in.row(b, t, h);
        double squares = 0;
        for (index_t i = 0; i < in.dim; ++i) squares += double(row[i]) * double(row[i]);
        for (index_t i = 0; i < in.dim; ++i) {
          const double value =
              double(row[i]) / std::sqrt(squares / double(in.dim) + epsilon) * double(weight[i]);
          // What is rounded before the weight comes may lie on fp16's grid below its least normal number.
          const double grid = std::same_as<T, fp16> ? 0x1p-14 * std::abs(double(weight[i])) : 0.0;
          out.add(value, std::abs(value) + grid);
        }
      }
  return out;
}

}  // namespace stepvideo::oracle
