#include "place/place.hpp"

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::place {

void require_free_memory(const Place& place, double bytes) {
  if (!place.is_gpu()) return;
  constexpr double gibibyte = 1 << 30;
  const GpuDescription& gpu = place.gpu();
  require(bytes <= static_cast<double>(gpu.free_bytes), [&] {
    std::string holders;
    for (const MemoryHolder& holder : memory_holders(gpu))
      holders += fmt::format("{}{} (process {}) holds {:.1f} GiB", holders.empty() ? ": " : ", ", holder.name,
                             holder.process, static_cast<double>(holder.bytes) / gibibyte);
    return fmt::format(
        "{} has {:.1f} of {:.1f} GiB free and the run needs {:.1f}{}; another GPU, or this one once it "
        "is free, works",
        place.name(), static_cast<double>(gpu.free_bytes) / gibibyte,
        static_cast<double>(gpu.memory_bytes) / gibibyte, bytes / gibibyte, holders);
  });
}

}  // namespace stepvideo::place
