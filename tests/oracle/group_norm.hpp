// GroupNorm as its formula says, in double: two passes over each group of each frame.
#pragma once
#include <cmath>

#include <stepvideo/core/view.hpp>

#include "oracle/sums.hpp"

namespace stepvideo::oracle {

/// (frames, height, width, channels). What was summed are the value, the mean and the bias, over the
/// deviation.
template <class T, class Weight, class Bias>
Sums group_norm(VideoView<const T> in, const Weight& weight, const Bias& bias, index_t groups,
                double epsilon) {
  const auto size = static_cast<std::size_t>(in.size());
  Sums out{std::vector<double>(size), std::vector<double>(size)};
  const index_t group_channels = in.channels / groups, pixels = in.height * in.width;
  for (index_t frame = 0; frame < in.frames; ++frame)
    for (index_t group = 0; group < groups; ++group) {
      const auto each = [&](auto&& visit) {
        for (index_t p = 0; p < pixels; ++p)
          for (index_t c = group * group_channels; c < (group + 1) * group_channels; ++c)
            visit((frame * pixels + p) * in.channels + c, c);
      };
      const double count = static_cast<double>(pixels * group_channels);
      double mean = 0, magnitude = 0, variance = 0;
      each([&](index_t i, index_t) {
        mean += double(in.data[i]) / count, magnitude += std::abs(double(in.data[i])) / count;
      });
      each([&](index_t i, index_t) { variance += std::pow(double(in.data[i]) - mean, 2) / count; });
      const double deviation = std::sqrt(variance + epsilon);
      each([&](index_t i, index_t c) {
        const auto at = static_cast<std::size_t>(i);
        const double x = double(in.data[i]), w = double(weight[c]) / deviation;
        out.values[at] = (x - mean) * w + double(bias[c]);
        out.summed[at] = (std::abs(x) + magnitude) * std::abs(w) + std::abs(double(bias[c]));
      });
    }
  return out;
}

}  // namespace stepvideo::oracle
