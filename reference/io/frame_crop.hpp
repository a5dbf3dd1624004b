// The middle of a video's frames.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include <stepvideo/core/shape.hpp>

namespace stepvideo::io {

class VideoWriter;

/// What is kept of each frame, around its centre: even sizes, so that colour can be sampled for every four
/// pixels, from an even pixel on.
struct FrameCrop {
  int width = 0, height = 0;

  bool operator==(const FrameCrop&) const = default;
  /// A video of the same frames.
  VideoShape of(VideoShape video) const { return {video.frames, height, width}; }
};

/// "960x540", width x height. Throws RequestError naming `flag` unless both are even numbers from 2 on.
FrameCrop parse_frame_crop(const std::string& flag, const std::string& text);
std::string to_string(FrameCrop crop);

/// Throws RequestError naming `flag` and both sizes where a frame of the video does not hold it.
void require_crop_fits(const std::string& flag, FrameCrop crop, VideoShape video);

/// A writer that takes whole frames of `video` and hands their middle to `inner`, which writes frames of
/// crop.of(video) to `path`.
std::unique_ptr<VideoWriter> crop_frames_for(std::unique_ptr<VideoWriter> inner,
                                             const std::filesystem::path& path, FrameCrop crop,
                                             VideoShape video);

}  // namespace stepvideo::io
