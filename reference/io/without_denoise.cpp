// Filters in a build without libavfilter.
#include <stepvideo/core/error.hpp>

#include "io/frame_filter.hpp"

namespace stepvideo::io {

std::unique_ptr<FrameFilter> open_frame_filter(const std::filesystem::path& output, const std::string& chain,
                                               const std::string&, const AVFrame&, FrameRate) {
  require_frame_filter(output.string(), chain);
  return nullptr;
}

void require_frame_filter(const std::string& what, const std::string& filter) {
  throw RequestError(what + " needs libavfilter's " + filter +
                     ", and this build has no libavfilter; a build on a machine with libavfilter-dev has it");
}

}  // namespace stepvideo::io
