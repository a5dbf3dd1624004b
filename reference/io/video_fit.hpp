// Videos whose size is off the grid are brought onto it.
#pragma once
#include <string>

#include "io/video.hpp"

namespace stepvideo::io {

/// crop: the middle of each frame, and the last frames are dropped. pad: the outermost pixels are repeated on
/// all sides, and the last frame at the end.
enum class Fit { crop, pad };

/// Throws RequestError naming `flag` unless `text` is crop or pad.
Fit parse_fit(const std::string& flag, const std::string& text);

/// The size on the grid that `fit` makes of `video`: the largest within it, or the smallest around it. Throws
/// RequestError naming the size when there is none.
VideoShape fitted_shape(VideoShape video, Fit fit);

/// The video of that size.
Video fit_video(const Video& video, Fit fit);

}  // namespace stepvideo::io
