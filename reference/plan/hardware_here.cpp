#include "plan/hardware_here.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace stepvideo::plan {
namespace {

/// "NVIDIA GeForce RTX 4090" as "nvidiageforcertx4090".
std::string squeezed(std::string_view name) {
  std::string text;
  for (const unsigned char c : name)
    if (std::isalnum(c) != 0) text += static_cast<char>(std::tolower(c));
  return text;
}

}  // namespace

Hardware hardware_of(const place::GpuDescription& gpu) {
  const std::string name = squeezed(gpu.name);
  std::string known;  // the longest name that fits: h200 before h20
  for (const std::string& candidate : hardware_names())
    if (name.find(candidate) != name.npos && candidate.size() > known.size()) known = candidate;
  constexpr int hopper = 9;
  const bool is_known = !known.empty();
  Hardware hardware = load_hardware(is_known ? known : gpu.major >= hopper ? "h200" : "a100");
  if (!is_known) {
    const int model_multiprocessors = gpu.major >= hopper ? 132 : 108;
    const double share = static_cast<double>(gpu.multiprocessors) / model_multiprocessors;
    hardware.description = fmt::format("{}, estimated from the {} by its {} multiprocessors", gpu.name,
                                       hardware.name, gpu.multiprocessors);
    hardware.name = gpu.name;
    hardware.memory_bytes_per_second *= share;
    for (auto& rates : hardware.rates)
      if (rates)
        rates = Rates{rates->peak * share, rates->linear * share, rates->attention * share,
                      rates->convolution * share};
  }
  hardware.memory_bytes = static_cast<double>(allowed_bytes(gpu));
  hardware.ranks_on_each = gpu.sharers;
  return hardware;
}

Hardware hardware_here(const place::Place& place) {
  return place.is_gpu() ? hardware_of(place.gpu()) : load_hardware("cpu");
}

}  // namespace stepvideo::plan
