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
  std::vector<GpuDescription> limited{gpu()};
  if (!ranks_.empty()) limited.clear();
  for (const Place& rank : ranks_) limited.push_back(rank.gpu());
  for (GpuDescription& gpu : limited) gpu.budget_bytes = bytes;
  return of_ranks(limited);
}

Place Place::of_ranks(const std::vector<GpuDescription>& gpus) {
  if (gpus.size() == 1) return Place(gpus.front());
  std::vector<Place> ranks;
  for (const GpuDescription& gpu : gpus) ranks.emplace_back(gpu);
  Place first = ranks.front();
  first.ranks_ = std::move(ranks);
  return first;
}

Place Place::of_rank(int rank) const {
  return ranks_.empty() ? *this : ranks_.at(static_cast<std::size_t>(rank));
}

Place Place::of_ranks(int first, int count) const {
  if (ranks_.empty()) return *this;
  Place place = of_rank(first);
  if (count > 1) place.ranks_ = {ranks_.begin() + first, ranks_.begin() + first + count};
  return place;
}

void require_free_memory(const Place& place, double bytes) {
  if (!place.is_gpu()) return;
  for (int rank = 1; rank < place.ranks(); ++rank) require_free_memory(place.of_rank(rank), bytes);
  constexpr double gibibyte = 1 << 30;
  const GpuDescription& gpu = place.gpu();
  bytes *= gpu.sharers;
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
