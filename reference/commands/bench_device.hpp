// What this machine's GPU reaches, kernel by kernel.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace stepvideo::commands {

/// Whether this build measures GPUs and there is one.
bool can_bench_device();

struct DeviceBenchRequest {
  std::vector<std::string> only;              ///< benches by name; all where empty
  std::optional<std::string> pytorch;         ///< a Python with PyTorch, timed first for the ratios
  std::optional<std::filesystem::path> json;  ///< where the figures go as well
};

/// Measures and prints the table of bench/*.cu. Throws RequestError for a build that cannot, a machine
/// without a GPU and a name that is no bench; Error where PyTorch fails.
void bench_device(const DeviceBenchRequest& request);

}  // namespace stepvideo::commands
