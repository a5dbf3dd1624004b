// Frames that come as floats, into a file.
#pragma once
#include "io/video.hpp"

namespace stepvideo::testing {

inline io::PixelBuffer pixels_of(const io::PixelFormat& format, VideoView<const float> frames) {
  io::PixelBuffer pixels(format, frames.frames, frames.height, frames.width);
  io::write_pixels(host, frames, format, pixels.view());
  return pixels;
}

/// Appends frames as their writer takes them.
inline void append(io::VideoWriter& writer, VideoView<const float> frames) {
  writer.append(pixels_of(writer.format(), frames).view());
}

}  // namespace stepvideo::testing
