// Which video it was: a short name of its pixels.
#pragma once
#include <string>

#include "io/video.hpp"

namespace stepvideo::io {

/// 32 hexadecimal digits of a SHA-256 over the size and every pixel: the same for the same pixels, whatever
/// file they came from.
std::string video_digest(const Video& video);

}  // namespace stepvideo::io
