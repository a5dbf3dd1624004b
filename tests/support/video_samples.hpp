// Videos to write and read back, and what ffmpeg makes of them.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>

#include <boost/test/unit_test.hpp>

#include "io/video.hpp"
#include "support/append_frames.hpp"
#include "support/ffmpeg.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

inline constexpr std::array<std::array<int, 3>, 8> bar_colours{{{235, 235, 235},
                                                                {235, 235, 16},
                                                                {16, 235, 235},
                                                                {16, 235, 16},
                                                                {235, 16, 235},
                                                                {235, 16, 16},
                                                                {16, 16, 235},
                                                                {128, 64, 32}}};
inline constexpr VideoShape bars_shape{17, 64, 256};
inline constexpr int bar_width = 256 / 8;

/// Eight vertical bars, the same in every frame.
inline Buffer<float> colour_bars() {
  Buffer<float> pixels(index_t{3} * bars_shape.frames * bars_shape.height * bars_shape.width);
  for (index_t i = 0; i < pixels.size(); ++i) {
    const auto column = static_cast<std::size_t>(i / 3 % bars_shape.width);
    pixels[i] =
        static_cast<float>(bar_colours[column / bar_width][static_cast<std::size_t>(i % 3)]) / 127.5f - 1.0f;
  }
  return pixels;
}

inline VideoView<const float> view_of(const Buffer<float>& pixels, VideoShape shape) {
  return {pixels.data(), shape.frames, shape.height, shape.width, 3};
}

inline void write_video(const std::filesystem::path& path, const Buffer<float>& pixels, VideoShape shape,
                        io::VideoOptions options = {}) {
  const auto writer = io::open_video_writer(path, shape, std::move(options));
  append(*writer, view_of(pixels, shape));
  writer->finish();
}

/// The largest difference to the bars, in 8-bit levels, over 8-bit RGB pixels at least 6 from a bar's edge.
inline int worst_level(const std::string& rgb) {
  int worst = 0;
  for (std::size_t i = 0; i < rgb.size(); ++i) {
    const auto column = i / 3 % bars_shape.width, inside = column % bar_width;
    if (inside < 6 || inside >= bar_width - 6) continue;
    const int level = static_cast<unsigned char>(rgb[i]);
    worst = std::max(worst, std::abs(level - bar_colours[column / bar_width][i % 3]));
  }
  return worst;
}

inline std::string rgb_of(const io::Video& video) {
  std::string rgb;
  for (const float value : video.pixels) rgb.push_back(static_cast<char>(std::lround((value + 1) * 127.5f)));
  return rgb;
}

/// A smooth moving pattern with a little noise: something that an encoder has to work on.
inline Buffer<float> moving_pattern(VideoShape shape) {
  std::mt19937 engine(5);
  auto pixels = random_normal<float>(index_t{3} * shape.frames * shape.height * shape.width, engine, 0.05f);
  for (index_t i = 0; i < pixels.size(); ++i) {
    const auto column = i / 3 % shape.width, row = i / 3 / shape.width % shape.height;
    const auto frame = i / 3 / shape.width / shape.height;
    pixels[i] +=
        0.8f * std::sin(0.05f * static_cast<float>(column + 3 * frame) + 0.07f * static_cast<float>(row));
  }
  return pixels;
}

}  // namespace stepvideo::testing
