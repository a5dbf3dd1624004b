#include "pipeline/memory.hpp"

#include <string>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "host_memory.hpp"

namespace stepvideo::pipeline {

void require_memory(VideoShape video, double bytes) {
  const auto available = static_cast<double>(read_host_memory().total_bytes);
  constexpr double gibibyte = 1 << 30;
  require(bytes <= available, [&] {
    return fmt::format(
        "{} needs at least {:.1f} GiB of memory and this machine has {:.1f}; a smaller --frames, --height or "
        "--width "
        "works",
        to_string(video), bytes / gibibyte, available / gibibyte);
  });
}

std::size_t available_memory_bytes(Host) {
  return read_host_memory().available_bytes;
}

}  // namespace stepvideo::pipeline
