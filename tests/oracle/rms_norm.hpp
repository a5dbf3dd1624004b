// RMSNorm as its formula says, in double.
#pragma once
#include <cmath>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

/// (batch, tokens, heads, dim), dense.
template <class T>
std::vector<double> rms_norm(HeadsView<const T> in, const T* weight, double epsilon) {
  std::vector<double> out;
  for (index_t b = 0; b < in.batch; ++b)
    for (index_t t = 0; t < in.tokens; ++t)
      for (index_t h = 0; h < in.heads; ++h) {
        double squares = 0;
        for (index_t i = 0; i < in.dim; ++i)
          squares += double(in.row(b, t, h)[i]) * double(in.row(b, t, h)[i]);
        for (index_t i = 0; i < in.dim; ++i)
          out.push_back(double(in.row(b, t, h)[i]) / std::sqrt(squares / double(in.dim) + epsilon) *
                        double(weight[i]));
      }
  return out;
}

}  // namespace stepvideo::oracle
