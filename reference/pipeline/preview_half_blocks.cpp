#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "pipeline/preview.hpp"

namespace stepvideo::pipeline {
namespace {

using Colour = std::array<int, 3>;

/// The mean of what a pixel of the smaller picture covers, in 8 bits.
Colour mean_of(const Picture& picture, int row, int column, int height, int width) {
  const auto range = [](int i, int count, int extent) {
    const index_t first = index_t{i} * extent / count;
    return std::pair{first, std::max(first + 1, (index_t{i} + 1) * extent / count)};
  };
  const auto [top, bottom] = range(row, height, picture.height);
  const auto [left, right] = range(column, width, picture.width);
  std::array<double, 3> sum{};
  for (index_t y = top; y < bottom; ++y)
    for (index_t x = left; x < right; ++x)
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const float value = picture.pixels[(y * picture.width + x) * 3 + static_cast<index_t>(channel)];
        sum[channel] += std::isfinite(value) ? std::clamp(value, -1.0f, 1.0f) : 0.0f;
      }
  Colour colour{};
  const auto count = static_cast<double>((bottom - top) * (right - left));
  for (std::size_t channel = 0; channel < 3; ++channel)
    colour[channel] = static_cast<int>(std::lround((sum[channel] / count + 1) * 127.5));
  return colour;
}

}  // namespace

std::vector<std::string> half_blocks(const Picture& picture, int columns, int rows) {
  const double shrink = std::max({1.0, static_cast<double>(picture.width) / std::max(1, columns),
                                  static_cast<double>(picture.height) / (2.0 * std::max(1, rows))});
  const int width = std::max(1, static_cast<int>(picture.width / shrink));
  const int height = std::max(2, static_cast<int>(picture.height / shrink) / 2 * 2);
  std::vector<std::string> lines;
  for (int row = 0; row < height; row += 2) {
    std::string line;
    Colour front{-1, -1, -1}, back = front;  // a colour that stays is not said again
    for (int column = 0; column < width; ++column) {
      const Colour above = mean_of(picture, row, column, height, width);
      const Colour below = mean_of(picture, row + 1, column, height, width);
      if (above != front) line += fmt::format("\x1b[38;2;{};{};{}m", above[0], above[1], above[2]);
      if (below != back) line += fmt::format("\x1b[48;2;{};{};{}m", below[0], below[1], below[2]);
      front = above;
      back = below;
      line += "▀";
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace stepvideo::pipeline
