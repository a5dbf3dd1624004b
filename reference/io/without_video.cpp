// Videos in a build without libav.
#include <stepvideo/core/error.hpp>

#include "io/video.hpp"

namespace stepvideo::io::detail {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw RequestError(what +
                     ": this build reads and writes no video files; a .safetensors file works, or build with "
                     "STEPVIDEO_VIDEO=ON");
}

}  // namespace

std::unique_ptr<VideoWriter> open_mp4_writer(const std::filesystem::path& path, VideoShape, VideoOptions) {
  refuse(path.string());
}
void require_mp4_encoder(const std::string& flag) {
  refuse(flag);
}
Video decode_video(const std::filesystem::path& path) {
  refuse(path.string());
}
std::optional<std::string> read_container_comment(const std::filesystem::path& path) {
  refuse(path.string());
}

}  // namespace stepvideo::io::detail
