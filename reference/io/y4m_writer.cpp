#include "io/y4m_writer.hpp"

#include <string>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/manifest.hpp"

namespace stepvideo::io {
namespace {

/// What players assume for a height: a y4m file cannot name its matrix.
YuvMatrix untagged_matrix(int height) {
  constexpr int hd_height = 720;
  return height < hd_height ? YuvMatrix::bt601() : YuvMatrix::bt709();
}

PixelFormat format_of(VideoShape shape, bool halves_colour) {
  const YuvMatrix matrix = untagged_matrix(shape.height);
  if (halves_colour) return YuvPixels<2>{matrix};
  return YuvPixels<1>{matrix};
}

bool halves_colour(const VideoOptions& options) {
  return options.chroma == Chroma::yuv420;
}

}  // namespace

Y4mWriter::Y4mWriter(const std::filesystem::path& path, VideoShape shape, VideoOptions options)
    : VideoWriter(path, shape, format_of(shape, halves_colour(options))),
      options_(std::move(options)),
      file_(path),
      stream_(file_.temporary(), std::ios::binary) {
  const std::string header =
      fmt::format("YUV4MPEG2 W{} H{} F{}:{} Ip A1:1 {} XCOLORRANGE=LIMITED\n", shape.width, shape.height,
                  options_.rate.numerator, options_.rate.denominator,
                  halves_colour(options_) ? "C420jpeg XYSCSS=420JPEG" : "C444 XYSCSS=444");
  write(header);
}

void Y4mWriter::write(std::string_view bytes) {
  stream_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream_) throw Error(path().string() + " cannot be written: the disk refuses");
}

void Y4mWriter::write_frame(std::span<const std::uint8_t> pixels) {
  write("FRAME\n");
  write({reinterpret_cast<const char*>(pixels.data()), pixels.size()});
}

void Y4mWriter::publish() {
  stream_.close();
  if (!stream_) throw Error(path().string() + " cannot be written: the disk refuses");
  publish_with_manifest_beside(file_, path(), options_.manifest);
}

}  // namespace stepvideo::io
