// Videos in a build without libav.
#include <stepvideo/core/error.hpp>

#include "io/png.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw RequestError(what +
                     ": this build reads no video and no image files and writes .y4m and .safetensors alone; "
                     "those work, or a "
                     "build with STEPVIDEO_VIDEO=ON");
}

}  // namespace

void write_png(const std::filesystem::path& path, VideoView<const float>) {
  refuse(path.string());
}

namespace detail {

std::unique_ptr<VideoWriter> open_stream_writer(const std::filesystem::path& path, VideoShape, VideoOptions) {
  refuse(path.string());
}
std::unique_ptr<VideoWriter> open_png_folder_writer(const std::filesystem::path& path, VideoShape,
                                                    VideoOptions) {
  refuse(path.string());
}
void require_encoder(const std::string& flag, VideoKind) {
  refuse(flag);
}
Video decode_video(const std::filesystem::path& path, std::optional<FrameRate>) {
  refuse(path.string());
}
Video decode_png_folder(const std::filesystem::path& path) {
  refuse(path.string());
}
std::optional<std::string> read_container_comment(const std::filesystem::path& path) {
  refuse(path.string());
}

}  // namespace detail
}  // namespace stepvideo::io
