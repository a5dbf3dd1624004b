#include "io/y4m_writer.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {
namespace {

/// The weights of red and blue in the luma.
struct Matrix {
  float red, blue;

  static Matrix untagged(int height) {
    constexpr int hd_height = 720;
    return height < hd_height ? Matrix{0.299f, 0.114f} : Matrix{0.2126f, 0.0722f};
  }
};

/// Limited range: luma 16 to 235, colour 16 to 240 around 128.
constexpr float luma_range = 219, luma_offset = 16, colour_range = 224, colour_offset = 128;

unsigned char rounded(float value) {
  return static_cast<unsigned char>(std::lrintf(value));
}

int half(int extent) {
  return (extent + 1) / 2;
}

}  // namespace

Y4mWriter::Y4mWriter(const std::filesystem::path& path, VideoShape shape, VideoOptions options)
    : VideoWriter(path, shape),
      options_(std::move(options)),
      halves_colour_(options_.chroma == Chroma::yuv420),
      file_(path),
      stream_(file_.temporary(), std::ios::binary) {
  const auto pixels = static_cast<std::size_t>(shape.height) * static_cast<std::size_t>(shape.width);
  const auto colours = halves_colour_ ? static_cast<std::size_t>(half(shape.height)) *
                                            static_cast<std::size_t>(half(shape.width))
                                      : pixels;
  planes_.resize(pixels + 2 * colours);
  if (halves_colour_) colours_.resize(2 * pixels);
  const std::string header =
      fmt::format("YUV4MPEG2 W{} H{} F{}:{} Ip A1:1 {} XCOLORRANGE=LIMITED\n", shape.width, shape.height,
                  options_.rate.numerator, options_.rate.denominator,
                  halves_colour_ ? "C420jpeg XYSCSS=420JPEG" : "C444 XYSCSS=444");
  write(header.data(), header.size());
}

void Y4mWriter::write(const char* bytes, std::size_t count) {
  stream_.write(bytes, static_cast<std::streamsize>(count));
  if (!stream_) throw Error(path().string() + " cannot be written: the disk refuses");
}

void Y4mWriter::write_frame(const float* pixels) {
  const Matrix matrix = Matrix::untagged(shape().height);
  const int height = shape().height, width = shape().width;
  const index_t count = index_t{height} * width;
  unsigned char* const luma = planes_.data();
  unsigned char* const colour = luma + count;
#pragma omp parallel for schedule(static)
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const index_t pixel = index_t{y} * width + x;
      const auto level = [&](int channel) {
        return (std::clamp(pixels[pixel * 3 + channel], -1.0f, 1.0f) + 1.0f) * 0.5f;
      };
      const float red = level(0), green = level(1), blue = level(2);
      const float light = matrix.red * red + (1 - matrix.red - matrix.blue) * green + matrix.blue * blue;
      const float towards_blue = colour_offset + colour_range * (blue - light) / (2 * (1 - matrix.blue)),
                  towards_red = colour_offset + colour_range * (red - light) / (2 * (1 - matrix.red));
      luma[pixel] = rounded(luma_offset + luma_range * light);
      if (halves_colour_) {
        colours_[static_cast<std::size_t>(pixel)] = towards_blue;
        colours_[static_cast<std::size_t>(count + pixel)] = towards_red;
      } else {
        colour[pixel] = rounded(towards_blue);
        colour[count + pixel] = rounded(towards_red);
      }
    }
  if (halves_colour_) {
    const int rows = half(height), columns = half(width);
#pragma omp parallel for collapse(2) schedule(static)
    for (int plane = 0; plane < 2; ++plane)
      for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column) {
          float sum = 0;
          for (const int y : {2 * row, std::min(2 * row + 1, height - 1)})
            for (const int x : {2 * column, std::min(2 * column + 1, width - 1)})
              sum += colours_[static_cast<std::size_t>(plane * count + index_t{y} * width + x)];
          colour[(index_t{plane} * rows + row) * columns + column] = rounded(sum / 4);
        }
  }
  constexpr std::string_view mark = "FRAME\n";
  write(mark.data(), mark.size());
  write(reinterpret_cast<const char*>(planes_.data()), planes_.size());
}

/// At no moment does a manifest stand beside a video that it did not make.
void Y4mWriter::publish() {
  stream_.close();
  if (!stream_) throw Error(path().string() + " cannot be written: the disk refuses");
  const std::filesystem::path beside = path().string() + ".json";
  std::error_code unused;
  std::filesystem::remove(beside, unused);
  file_.publish();
  if (options_.manifest) write_file(beside, options_.manifest() + '\n');
}

}  // namespace stepvideo::io
