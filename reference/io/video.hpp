// Videos in and out: .mp4 for people, .safetensors for programs.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo::io {

inline constexpr int frames_per_second = 25;

/// What a writer is told beside the frames.
struct VideoOptions {
  /// Gives the JSON text of what made the video, or is empty where there is none. A writer asks when the last
  /// frame is written, so that the text may say what the run took; a format whose text stands in front of the
  /// frames is asked before them too. Where io/manifest.hpp looks for it, there a writer puts it.
  std::function<std::string()> manifest = {};
};

/// Writes a video frame by frame. The file bears its name only after finish(); a writer that goes away
/// without it leaves nothing behind.
class VideoWriter {
 public:
  virtual ~VideoWriter() = default;
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  /// The next frames: RGB, nominally in [-1, 1], (frames, height, width, 3). Throws Error naming the frame
  /// when a value is NaN or infinite, or when there are more frames than were announced.
  void append(VideoView<const float> frames);
  /// Writes what is left and publishes the file. Throws Error when frames are missing or the disk refuses.
  void finish();

 protected:
  VideoWriter(std::filesystem::path path, VideoShape shape) : path_(std::move(path)), shape_(shape) {}

  const std::filesystem::path& path() const { return path_; }
  VideoShape shape() const { return shape_; }
  /// One frame, (height, width, 3), finite.
  virtual void write_frame(const float* pixels) = 0;
  virtual void publish() = 0;

 private:
  std::filesystem::path path_;
  VideoShape shape_;
  int frames_written_ = 0;
};

/// A writer for `shape.frames` frames, by the path's extension. `.mp4`: H.264, 25 frames a second, BT.709 in
/// limited range, pixels (clamp(x, -1, 1) + 1) x 127.5 rounded; the same frames give the same bytes for any
/// number of threads. `.safetensors`: `video` (1, frames, 3, height, width), the floats as they come. The
/// manifest is the container's `comment`, or the metadata's `manifest`. Throws Error when the file cannot be
/// created or the build cannot write it.
std::unique_ptr<VideoWriter> open_video_writer(const std::filesystem::path& path, VideoShape shape,
                                               VideoOptions options = {});

/// Throws RequestError naming `flag` where open_video_writer would fail later: call both before the work.
void require_video_output(const std::string& flag, const std::filesystem::path& path);
void require_video_output_size(const std::string& flag, const std::filesystem::path& path, VideoShape shape);

/// A video in memory: RGB in [-1, 1], (frames, height, width, 3).
struct Video {
  VideoShape shape;
  Buffer<float> pixels;

  VideoView<const float> view() const { return {pixels.data(), shape.frames, shape.height, shape.width, 3}; }
};

/// Reads a `.safetensors` file with `video` (1, frames, 3, height, width), or whatever else libav can decode.
/// Any size and length: the caller checks the grid. Throws RequestError naming the file.
Video read_video(const std::filesystem::path& path);

namespace detail {
// In a build without libav these throw the sentence that says so.
std::unique_ptr<VideoWriter> open_mp4_writer(const std::filesystem::path& path, VideoShape shape,
                                             VideoOptions options);
void require_mp4_encoder(const std::string& flag);
Video decode_video(const std::filesystem::path& path);
/// The container's `comment`, where it has one.
std::optional<std::string> read_container_comment(const std::filesystem::path& path);
}  // namespace detail

}  // namespace stepvideo::io
