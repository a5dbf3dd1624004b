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

struct MatmulSearchRequest {
  std::vector<std::string> precisions;        ///< fp32, bf16, fp16: of the operands
  bool is_thorough = false;                   ///< everything that the library has, for minutes a product
  std::optional<std::filesystem::path> save;  ///< where the table goes, in the form of reference/plan/matmuls
};

/// Searches the fastest algorithm of every matrix product of the release and prints them. Throws RequestError
/// as bench_device.
void bench_matmuls(const MatmulSearchRequest& request);

}  // namespace stepvideo::commands
