// Videos in and out: .mp4, .mov, .mkv, .webm, .gif and .webp for people, .y4m and PNG folders for other
// tools, .safetensors for programs. docs/video.md says what each holds and why.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>

#include "io/frame_crop.hpp"
#include "io/frame_rate.hpp"
#include "io/pixel_format.hpp"

namespace stepvideo::io {

/// What a path names: by its extension, or a folder of PNG files when it ends in a slash or is a folder.
enum class VideoKind { tensor, mp4, mov, mkv, webm, gif, webp, y4m, png_folder, other };
VideoKind video_kind(const std::filesystem::path& path);

/// How finely colour is sampled: a colour for every four pixels, which is what players expect, or for each.
enum class Chroma { yuv420, yuv444 };

/// Frames that cannot be shown: what made them is at fault, and to make them again gives the same.
class NonFiniteVideo : public Error {
 public:
  using Error::Error;
};

/// What a writer is told beside the frames. What a kind of file cannot hold is left out: a PNG folder and a
/// .safetensors file have no frame rate.
struct VideoOptions {
  FrameRate rate = {};
  std::optional<Chroma> chroma = {};   ///< default: 4:2:0 in .mp4 and its kin, 4:4:4 in .y4m
  std::optional<FrameCrop> crop = {};  ///< what of the frames is kept
  bool denoises = false;               ///< averages frames over time, in what is_denoised_in()
  /// Gives the JSON text of what made the video, or is empty where there is none. A writer asks when the last
  /// frame is written, so that the text may say what the run took; a format whose text stands in front of the
  /// frames is asked before them. Where io/manifest.hpp looks for it, there a writer puts it.
  std::function<std::string()> manifest = {};

  /// What is written of a video.
  VideoShape of(VideoShape video) const { return crop ? crop->of(video) : video; }
};

/// Writes a video frame by frame. The file (or folder) bears its name only after finish(); a writer that goes
/// away without it leaves nothing behind.
class VideoWriter {
 public:
  virtual ~VideoWriter() = default;
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  /// What append() takes.
  const PixelFormat& format() const { return format_; }
  /// The next frames. Throws Error naming the frame when it came of a NaN or an infinity, or when there are
  /// more frames than were announced.
  void append(const ReadyFrames& frames);
  /// Writes what is left and publishes the file. Throws Error when frames are missing or the disk refuses.
  void finish();

 protected:
  VideoWriter(std::filesystem::path path, VideoShape shape, const PixelFormat& format)
      : path_(std::move(path)), shape_(shape), format_(format) {}

  const std::filesystem::path& path() const { return path_; }
  VideoShape shape() const { return shape_; }
  /// The bytes of one frame.
  virtual void write_frame(std::span<const std::uint8_t> pixels) = 0;
  virtual void publish() = 0;

 private:
  std::filesystem::path path_;
  VideoShape shape_;
  PixelFormat format_;
  int frames_written_ = 0;
};

/// A writer for `shape.frames` frames, by video_kind(). All but tensors hold 8-bit pixels; the same frames
/// give the same bytes for any number of threads. `.mp4`, `.mov`, `.mkv`: H.264, `.webm`: VP9, all BT.709 in
/// limited range and tagged so. `.gif`: 256 colours a frame, `.webp`: an animation. `.y4m`: raw, in the
/// matrix that readers assume for its height. PNG folder: frame_00000.png and on, RGB. `.safetensors`:
/// `video` (1, frames, 3, height, width), the floats as they come. The manifest is the metadata's `manifest`,
/// the container's `comment`, the file NAME.json beside a .y4m, .gif or .webp, or the file manifest.json in a
/// folder. Throws Error when the file cannot be created or the build cannot write it.
std::unique_ptr<VideoWriter> open_video_writer(const std::filesystem::path& path, VideoShape shape,
                                               VideoOptions options = {});

/// Throws RequestError naming `flag` where open_video_writer would fail later: call both before the work.
void require_video_output(const std::string& flag, const std::filesystem::path& path);
/// The same for a video of that shape, before it is cropped. What the options ask for and cannot have is
/// refused by the name of its flag, --crop or --denoise.
void require_video_fits(const std::string& flag, const std::filesystem::path& path, VideoShape shape,
                        const VideoOptions& options = {});

/// Whether frames go through the filter of VideoOptions::denoises on their way into such a file: those with
/// an encoder of moving pictures.
constexpr bool is_denoised_in(VideoKind kind) {
  return kind == VideoKind::mp4 || kind == VideoKind::mov || kind == VideoKind::mkv ||
         kind == VideoKind::webm;
}

/// What --help says of such an output.
inline constexpr const char* video_output_help =
    "video to write: .mp4, .mov, .mkv, .webm, .gif, .webp, .y4m, a folder of PNG files (the path ends in /), "
    "or "
    ".safetensors with video in [-1, 1]";

/// A video in memory: RGB in [-1, 1], (frames, height, width, 3).
struct Video {
  VideoShape shape;
  Buffer<float> pixels;
  std::optional<FrameRate> rate = {};  ///< where the source has one

  VideoView<const float> view() const { return {pixels.data(), shape.frames, shape.height, shape.width, 3}; }
};

/// Reads a `.safetensors` file with `video` (1, frames, 3, height, width), a folder of PNG files, or whatever
/// else libav can decode: upright, in the colours that its tags mean, 8 or 16 bits a channel as stored. With
/// `rate`, frames at even times: each moment shows the frame that a player would; a source without a rate
/// takes it as its own. Any size and length: the caller checks the grid. Throws RequestError naming the file:
/// not there, no video, cut short, damaged, sizes that change, a rate that varies while none is asked for,
/// HDR.
Video read_video(const std::filesystem::path& path, std::optional<FrameRate> rate = {});

namespace detail {
// In a build without libav these throw the sentence that says so.
std::unique_ptr<VideoWriter> open_stream_writer(const std::filesystem::path& path, VideoShape shape,
                                                VideoOptions options);
std::unique_ptr<VideoWriter> open_png_folder_writer(const std::filesystem::path& path, VideoShape shape,
                                                    VideoOptions options);
void require_encoder(const std::string& flag, VideoKind kind);
Video decode_video(const std::filesystem::path& path, std::optional<FrameRate> rate);
Video decode_png_folder(const std::filesystem::path& path);
/// The container's `comment`, where it has one.
std::optional<std::string> read_container_comment(const std::filesystem::path& path);
}  // namespace detail

}  // namespace stepvideo::io
