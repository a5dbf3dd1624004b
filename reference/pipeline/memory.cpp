#include "pipeline/memory.hpp"

#include <fstream>
#include <limits>
#include <string>

#include <fmt/format.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::pipeline {

void require_memory(VideoShape video, double bytes) {
  const double available =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
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
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (std::size_t kibibytes = 0; file >> name >> kibibytes && std::getline(file, unit);)
    if (name == "MemAvailable:") return kibibytes << 10;
  return std::numeric_limits<std::size_t>::max();  // nobody says
}

}  // namespace stepvideo::pipeline
