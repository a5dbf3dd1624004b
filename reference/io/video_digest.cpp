#include "io/video_digest.hpp"

#include <string_view>
#include <vector>

#include "io/model_digest.hpp"

namespace stepvideo::io {

std::string video_digest(const Video& video) {
  const VideoShape shape = video.shape;
  const index_t frame_values = index_t{3} * shape.height * shape.width;
  std::vector<std::string> frames(static_cast<std::size_t>(shape.frames));
#pragma omp parallel for schedule(static)
  for (int frame = 0; frame < shape.frames; ++frame) {
    const float* const pixels = video.pixels.data() + frame * frame_values;
    frames[static_cast<std::size_t>(frame)] = text_digest(std::string_view(
        reinterpret_cast<const char*>(pixels), static_cast<std::size_t>(frame_values) * sizeof(float)));
  }
  std::string all = to_string(shape);
  for (const std::string& frame : frames) all += '\n' + frame;
  return text_digest(all);
}

}  // namespace stepvideo::io
