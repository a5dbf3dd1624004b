#include "io/video_fit.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {
namespace {

/// Half of the change goes to each side; the odd pixel is the right one, or the lower.
index_t source_position(index_t position, int source, int target) {
  const index_t shift = source >= target ? (source - target) / 2 : -((target - source) / 2);
  return std::clamp<index_t>(position + shift, 0, source - 1);
}

int fitted(int extent, int step, Fit fit) {
  return (fit == Fit::crop ? extent / step : (extent + step - 1) / step) * step;
}

}  // namespace

Fit parse_fit(const std::string& flag, const std::string& text) {
  require(text == "crop" || text == "pad",
          [&] { return fmt::format("{}: '{}' is neither crop nor pad, which work", flag, text); });
  return text == "crop" ? Fit::crop : Fit::pad;
}

VideoShape fitted_shape(VideoShape video, Fit fit) {
  constexpr int step = VideoShape::pixels_per_latent, chunk = VideoShape::chunk_frames;
  const bool becomes_image = video.frames == 1 || (fit == Fit::crop && video.frames < chunk);
  const VideoShape shape{becomes_image ? 1 : fitted(video.frames, chunk, fit),
                         fitted(video.height, step, fit), fitted(video.width, step, fit)};
  require(shape.height > 0 && shape.width > 0 && video.frames > 0, [&] {
    return fmt::format("--fit crop: {} holds no {}x{} pixels; --fit pad makes a video of it",
                       to_string(video), step, step);
  });
  require_video_on_grid(shape);
  return shape;
}

Video fit_video(const Video& video, Fit fit) {
  const VideoShape from = video.shape, to = fitted_shape(from, fit);
  Video result{to, Buffer<float>(index_t{3} * to.frames * to.height * to.width), video.rate};
  float* place = result.pixels.begin();
  for (int frame = 0; frame < to.frames; ++frame)
    for (int row = 0; row < to.height; ++row) {
      const index_t source_row = source_position(row, from.height, to.height);
      for (int column = 0; column < to.width; ++column)
        place = std::copy_n(video.view().pixel(std::min(frame, from.frames - 1), source_row,
                                               source_position(column, from.width, to.width)),
                            3, place);
    }
  return result;
}

}  // namespace stepvideo::io
