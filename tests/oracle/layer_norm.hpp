// LayerNorm as its formula says, in double.
#pragma once
#include <cmath>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

/// (batch, tokens, width): the normalised values, before any affine or modulation.
template <class T>
std::vector<double> layer_norm(TokensView<const T> in, double epsilon) {
  std::vector<double> out;
  for (index_t b = 0; b < in.batch; ++b)
    for (index_t t = 0; t < in.tokens; ++t) {
      double mean = 0, variance = 0;
      for (index_t i = 0; i < in.width; ++i) mean += double(in.row(b, t)[i]) / double(in.width);
      for (index_t i = 0; i < in.width; ++i)
        variance += std::pow(double(in.row(b, t)[i]) - mean, 2) / double(in.width);
      for (index_t i = 0; i < in.width; ++i)
        out.push_back((double(in.row(b, t)[i]) - mean) / std::sqrt(variance + epsilon));
    }
  return out;
}

}  // namespace stepvideo::oracle
