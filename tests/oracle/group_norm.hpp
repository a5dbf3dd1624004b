// GroupNorm as its formula says, in double: two passes over each group of each frame.
#pragma once
#include <cmath>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

template <class T, class Weight, class Bias>
std::vector<double> group_norm(VideoView<const T> in, const Weight& weight, const Bias& bias, index_t groups,
                               double epsilon) {
  std::vector<double> out(static_cast<std::size_t>(in.size()));
  const index_t group_channels = in.channels / groups, pixels = in.height * in.width;
  for (index_t frame = 0; frame < in.frames; ++frame)
    for (index_t group = 0; group < groups; ++group) {
      const auto each = [&](auto&& visit) {
        for (index_t p = 0; p < pixels; ++p)
          for (index_t c = group * group_channels; c < (group + 1) * group_channels; ++c)
            visit((frame * pixels + p) * in.channels + c, c);
      };
      const double count = static_cast<double>(pixels * group_channels);
      double mean = 0, variance = 0;
      each([&](index_t i, index_t) { mean += double(in.data[i]) / count; });
      each([&](index_t i, index_t) { variance += std::pow(double(in.data[i]) - mean, 2) / count; });
      each([&](index_t i, index_t c) {
        out[static_cast<std::size_t>(i)] =
            (double(in.data[i]) - mean) / std::sqrt(variance + epsilon) * double(weight[c]) + double(bias[c]);
      });
    }
  return out;
}

}  // namespace stepvideo::oracle
