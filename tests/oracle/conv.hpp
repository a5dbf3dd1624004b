// Convolution as its formula says, in double: the padded input exists, and every tap is a multiplication.
#pragma once
#include <array>
#include <cmath>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

/// A channels-last video in double.
struct Video {
  index_t frames, height, width, channels;
  std::vector<double> values;

  Video(index_t f, index_t h, index_t w, index_t c)
      : frames(f), height(h), width(w), channels(c), values(static_cast<std::size_t>(f * h * w * c), 0.0) {}
  template <class T>
  explicit Video(VideoView<const T> view) : Video(view.frames, view.height, view.width, view.channels) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = double(view.data[i]);
  }
  double& at(index_t f, index_t y, index_t x, index_t c) {
    return values[static_cast<std::size_t>(((f * height + y) * width + x) * channels + c)];
  }
};

/// The absolute values: the formula of these is the sum of the absolute values of the terms.
inline Video magnitudes(Video of) {
  for (double& value : of.values) value = std::abs(value);
  return of;
}
template <class Values>
std::vector<double> magnitudes(const Values& of) {
  std::vector<double> result;
  for (const auto& value : of) result.push_back(std::abs(double(value)));
  return result;
}

/// The video with zeros around it: {before, after} for frames, rows and columns.
inline Video pad(Video in, std::array<index_t, 2> frames, std::array<index_t, 2> rows,
                 std::array<index_t, 2> columns) {
  Video out(in.frames + frames[0] + frames[1], in.height + rows[0] + rows[1],
            in.width + columns[0] + columns[1], in.channels);
  for (index_t f = 0; f < in.frames; ++f)
    for (index_t y = 0; y < in.height; ++y)
      for (index_t x = 0; x < in.width; ++x)
        for (index_t c = 0; c < in.channels; ++c)
          out.at(f + frames[0], y + rows[0], x + columns[0], c) = in.at(f, y, x, c);
  return out;
}

/// Every frame `frames` times, every row and column `space` times.
inline Video repeat(Video in, index_t frames, index_t space) {
  Video out(in.frames * frames, in.height * space, in.width * space, in.channels);
  for (index_t f = 0; f < out.frames; ++f)
    for (index_t y = 0; y < out.height; ++y)
      for (index_t x = 0; x < out.width; ++x)
        for (index_t c = 0; c < in.channels; ++c)
          out.at(f, y, x, c) = in.at(f / frames, y / space, x / space, c);
  return out;
}

/// The convolution of a video that is padded already; weight (out, in, taps[0], taps[1], taps[2]).
template <class Weight, class Bias>
Video convolve(Video in, const Weight& weight, const Bias& bias, index_t out_channels,
               std::array<index_t, 3> taps, std::array<index_t, 3> stride) {
  Video out((in.frames - taps[0]) / stride[0] + 1, (in.height - taps[1]) / stride[1] + 1,
            (in.width - taps[2]) / stride[2] + 1, out_channels);
  for (index_t f = 0; f < out.frames; ++f)
    for (index_t y = 0; y < out.height; ++y)
      for (index_t x = 0; x < out.width; ++x)
        for (index_t o = 0; o < out_channels; ++o) {
          double sum = double(bias[o]);
          for (index_t i = 0; i < in.channels; ++i)
            for (index_t a = 0; a < taps[0]; ++a)
              for (index_t b = 0; b < taps[1]; ++b)
                for (index_t c = 0; c < taps[2]; ++c)
                  sum += in.at(f * stride[0] + a, y * stride[1] + b, x * stride[2] + c, i) *
                         double(weight[(((o * in.channels + i) * taps[0] + a) * taps[1] + b) * taps[2] + c]);
          out.at(f, y, x, o) = sum;
        }
  return out;
}

}  // namespace stepvideo::oracle
