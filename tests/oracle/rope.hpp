// 3D rotary embedding as its formula says, in double, one channel at a time.
#pragma once
#include <cmath>

#include <stepvideo/core/view.hpp>

#include "oracle/sums.hpp"

namespace stepvideo::oracle {

/// (batch, tokens, heads, dim) of a latent with `height` rows and `width` columns; `split` are the channels
/// of the frame, row and column axes. What was summed are the two products.
template <class T>
Sums rope3d(HeadsView<const T> in, index_t height, index_t width, const int (&split)[3],
            index_t first_token = 0) {
  Sums out;
  for (index_t b = 0; b < in.batch; ++b)
    for (index_t t = 0; t < in.tokens; ++t)
      for (index_t h = 0; h < in.heads; ++h) {
        const index_t token = first_token + t;
        const index_t position[3] = {token / (height * width), token / width % height, token % width};
        const T* x = in.row(b, t, h);
        for (int axis = 0; axis < 3; ++axis) {
          const int half = split[axis] / 2;
          for (int c = 0; c < split[axis]; ++c) {
            const int i = c % half;
            const double angle = double(position[axis]) / std::pow(10000.0, 2.0 * i / split[axis]);
            const double a = double(x[i]), d = double(x[i + half]);
            const double own = (c < half ? a : d) * std::cos(angle),
                         other = (c < half ? -d : a) * std::sin(angle);
            out.add(own + other, std::abs(own) + std::abs(other));
          }
          x += split[axis];
        }
      }
  return out;
}

}  // namespace stepvideo::oracle
