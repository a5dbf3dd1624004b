#include "io/video.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/checkpoint.hpp"
#include "io/extension.hpp"
#include "io/frame_filter.hpp"
#include "io/pending_file.hpp"
#include "io/pending_folder.hpp"
#include "io/png.hpp"
#include "io/safetensors_stream.hpp"
#include "io/y4m_writer.hpp"

namespace stepvideo::io {
namespace {

/// `video` (1, frames, 3, height, width).
class TensorVideoWriter final : public VideoWriter {
 public:
  TensorVideoWriter(const std::filesystem::path& path, VideoShape shape, VideoOptions options)
      : VideoWriter(path, shape, FloatPixels{}),
        options_(std::move(options)),
        stream_(path, {{"video", Dtype::f32, {1, shape.frames, 3, shape.height, shape.width}, {}}},
                metadata(), later_manifest_bytes),
        planes_(index_t{3} * shape.height * shape.width) {}

 private:
  /// What a manifest may grow by while the frames come.
  static constexpr std::size_t later_manifest_bytes = 512;

  std::map<std::string, std::string> metadata() const {
    if (!options_.manifest) return {};
    return {{"manifest", options_.manifest()}};
  }
  void write_frame(std::span<const std::uint8_t> frame) override {
    const auto* const pixels = reinterpret_cast<const float*>(frame.data());
    const index_t count = index_t{1} * shape().height * shape().width;
    for (index_t channel = 0; channel < 3; ++channel)
      for (index_t i = 0; i < count; ++i) planes_[channel * count + i] = pixels[i * 3 + channel];
    stream_.append(std::as_bytes(std::span(planes_.begin(), planes_.end())));
  }
  void publish() override {
    if (options_.manifest) stream_.replace_metadata(metadata());
    stream_.finish();
  }

  VideoOptions options_;
  SafetensorsStream stream_;
  Buffer<float> planes_;
};

constexpr std::array<std::pair<const char*, VideoKind>, 8> kinds_of_files{
    {{".mp4", VideoKind::mp4},
     {".mov", VideoKind::mov},
     {".mkv", VideoKind::mkv},
     {".webm", VideoKind::webm},
     {".gif", VideoKind::gif},
     {".webp", VideoKind::webp},
     {".y4m", VideoKind::y4m},
     {".safetensors", VideoKind::tensor}}};

/// What a side of a file's frames may be at most.
int largest_side(VideoKind kind) {
  switch (kind) {
    case VideoKind::mp4:
    case VideoKind::mov:
    case VideoKind::mkv:
      return 16'384;  // what x264 takes
    case VideoKind::webp:
      return 16'383;
    case VideoKind::webm:
    case VideoKind::gif:
      return 65'535;
    default:
      return VideoShape::largest_extent;
  }
}

void require_denoising(const std::filesystem::path& path, VideoKind kind, VideoShape shape) {
  require(is_denoised_in(kind), [&] {
    return fmt::format(
        "--denoise: frames are filtered on their way into .mp4, .mov, .mkv and .webm, and {} is "
        "none of these; leave it out, or name one of them",
        path.string());
  });
  require(!shape.is_image(), [] {
    return "--denoise: it averages frames over time, and there is one frame; the run without it works";
  });
  require_frame_filter("--denoise", denoise_filter);
}

Video read_tensor_video(const std::filesystem::path& path) {
  const auto file = Checkpoint::open(path);
  const Shape& shape = file.at("video").shape;
  const auto is_extent = [](std::int64_t extent) { return extent > 0 && extent <= 1 << 20; };
  require(shape.size() == 5 && shape[0] == 1 && shape[2] == 3 && std::ranges::all_of(shape, is_extent), [&] {
    return fmt::format("{}: tensor \"video\" has shape {}; (1, frames, 3, height, width) works",
                       path.string(), to_string(shape));
  });
  const auto planes = file.load<float>("video");
  Video video{{static_cast<int>(shape[1]), static_cast<int>(shape[3]), static_cast<int>(shape[4])},
              Buffer<float>(planes.size())};
  const index_t count = shape[3] * shape[4];
  for (index_t frame = 0; frame < shape[1]; ++frame)
    for (index_t channel = 0; channel < 3; ++channel)
      for (index_t i = 0; i < count; ++i)
        video.pixels[(frame * count + i) * 3 + channel] = planes[(frame * 3 + channel) * count + i];
  return video;
}

}  // namespace

void VideoWriter::append(const ReadyFrames& frames) {
  const index_t frame_bytes = frame_bytes_of(format_, shape_.height, shape_.width);
  if (frames.height != shape_.height || frames.width != shape_.width || frames.frame_bytes != frame_bytes)
    throw Error(fmt::format("{}: frames of {}x{} in {} bytes do not fit {} in {} bytes", path_.string(),
                            frames.width, frames.height, frames.frame_bytes, to_string(shape_), frame_bytes));
  for (index_t frame = 0; frame < frames.frames; ++frame) {
    if (frames_written_ >= shape_.frames)
      throw Error(
          fmt::format("{}: a frame came after the {} that were announced", path_.string(), shape_.frames));
    if (frames.marks[frame] != 0)
      throw NonFiniteVideo(fmt::format("{}: frame {} holds NaN or infinite values; nothing was written",
                                       path_.string(), frames_written_));
    write_frame({frames.frame(frame), static_cast<std::size_t>(frame_bytes)});
    ++frames_written_;
  }
}

void VideoWriter::finish() {
  if (frames_written_ != shape_.frames)
    throw Error(fmt::format("{}: {} frames came of the {} that were announced; nothing was written",
                            path_.string(), frames_written_, shape_.frames));
  publish();
}

VideoKind video_kind(const std::filesystem::path& path) {
  std::error_code unused;
  if (!path.has_filename() || std::filesystem::is_directory(path, unused)) return VideoKind::png_folder;
  const std::string extension = extension_of(path);
  for (const auto& [name, kind] : kinds_of_files)
    if (extension == name) return kind;
  return VideoKind::other;
}

std::string png_frame_name(int frame) {
  return fmt::format("frame_{:05}.png", frame);
}

bool is_png_frame_name(const std::string& name) {
  constexpr std::string_view before = "frame_", after = ".png";
  return name.size() >= before.size() + 5 + after.size() && name.starts_with(before) &&
         name.ends_with(after) &&
         std::all_of(name.begin() + before.size(), name.end() - after.size(),
                     [](unsigned char c) { return std::isdigit(c); });
}

std::unique_ptr<VideoWriter> open_video_writer(const std::filesystem::path& path, VideoShape shape,
                                               VideoOptions options) {
  if (const auto crop = std::exchange(options.crop, {}))
    return crop_frames_for(open_video_writer(path, crop->of(shape), std::move(options)), path, *crop, shape);
  switch (video_kind(path)) {
    case VideoKind::tensor:
      return std::make_unique<TensorVideoWriter>(path, shape, std::move(options));
    case VideoKind::y4m:
      return std::make_unique<Y4mWriter>(path, shape, std::move(options));
    case VideoKind::png_folder:
      return detail::open_png_folder_writer(path, shape, std::move(options));
    default:
      return detail::open_stream_writer(path, shape, std::move(options));
  }
}

void require_video_fits(const std::string& flag, const std::filesystem::path& path, VideoShape shape,
                        const VideoOptions& options) {
  const VideoKind kind = video_kind(path);
  if (options.crop) {
    require_crop_fits("--crop", *options.crop, shape);
    shape = options.crop->of(shape);
  }
  const int largest = largest_side(kind);
  require(std::max(shape.height, shape.width) <= largest, [&] {
    return fmt::format(
        "{}: {} does not fit a file of {}, whose sides end at {}; a .safetensors file holds it", flag,
        to_string(shape), extension_of(path), largest);
  });
  if (options.denoises) require_denoising(path, kind, shape);
}

void require_video_output(const std::string& flag, const std::filesystem::path& path) {
  const VideoKind kind = video_kind(path);
  std::vector<std::string> extensions;
  for (const auto& file : kinds_of_files) extensions.emplace_back(file.first);
  if (kind == VideoKind::png_folder && !path.empty())
    require_writable_folder(flag, path, is_of_png_folder);
  else
    require_writable_output(flag, path, extensions, ", or a folder of PNG files, whose path ends in /");
  if (kind != VideoKind::tensor && kind != VideoKind::y4m) detail::require_encoder(flag, kind);
}

Video read_video(const std::filesystem::path& path, std::optional<FrameRate> rate) {
  Video video;
  switch (video_kind(path)) {
    case VideoKind::tensor:
      video = read_tensor_video(path);
      break;
    case VideoKind::png_folder:
      video = detail::decode_png_folder(path);
      break;
    default:
      return detail::decode_video(path, rate);
  }
  video.rate = rate;
  return video;
}

}  // namespace stepvideo::io
