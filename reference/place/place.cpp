#include "place/place.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "on_demand/nvml.hpp"

namespace stepvideo::place {

std::string missing_code(const GpuDescription& gpu, std::span<const int> built) {
  const int capability = 100 * gpu.major + 10 * gpu.minor;
  const bool has_code = std::ranges::any_of(
      built, [&](int architecture) { return architecture / 100 == gpu.major && architecture <= capability; });
  if (has_code || (built.size() > 1 && capability > std::ranges::max(built))) return {};
  return fmt::format(
      "this program holds no code for {} (compute capability {}.{}); a build with "
      "-DSTEPVIDEO_CUDA_ARCHITECTURES={}{}-real, or --device cpu works",
      gpu.name, gpu.major, gpu.minor, gpu.major, gpu.minor);
}

Place Place::with_budget(std::uint64_t bytes) const {
  require(is_gpu(), [] { return "--gpu-memory is for a GPU, and the run is on the CPU; leave it out"; });
  GpuDescription limited = gpu();
  limited.budget_bytes = bytes;
  return Place(std::move(limited));
}

void require_free_memory(const Place& place, double bytes) {
  if (!place.is_gpu()) return;
  constexpr double gibibyte = 1 << 30;
  const GpuDescription& gpu = place.gpu();
  require(bytes <= static_cast<double>(allowed_bytes(gpu)) || !place.has_budget(), [&] {
    return fmt::format(
        "--gpu-memory allows {:.1f} GiB and the run needs {:.1f}; --gpu-memory {:.1f}GiB works",
        static_cast<double>(gpu.budget_bytes) / gibibyte, bytes / gibibyte,
        std::ceil(10 * bytes / gibibyte) / 10);
  });
  require(bytes <= static_cast<double>(gpu.free_bytes), [&] {
    std::string holders;
    for (const nvml::MemoryHolder& holder : nvml::memory_holders(gpu.bus_id))
      holders += fmt::format("{}{} (process {}) holds {:.1f} GiB", holders.empty() ? ": " : ", ", holder.name,
                             holder.process, static_cast<double>(holder.bytes) / gibibyte);
    return fmt::format(
        "{} has {:.1f} of {:.1f} GiB free and the run needs {:.1f}{}; another GPU, this one once it is free, "
        "or --device cpu works",
        place.name(), static_cast<double>(gpu.free_bytes) / gibibyte,
        static_cast<double>(gpu.memory_bytes) / gibibyte, bytes / gibibyte, holders);
  });
}

}  // namespace stepvideo::place
