// The table of a device bench: rows that state their own work, measured, and set against what the device
// and PyTorch reach. For g++ alone; what fills device memory is in device_bench.cuh.
#pragma once
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/kernels/linear/matmul_table.hpp>

#include "on_demand/gpu_monitor.hpp"

namespace stepvideo::bench {

/// Which units do a row's operations, so which of the device's matrix rates is its ceiling.
enum class Arithmetic { bf16, fp8 };

/// A row before it is measured. Its work is what any implementation must do, not what ours does.
struct Row {
  /// What runs, on what: "layer_norm, bf16, modulated, 75888 x 6144". One name, one row.
  std::string name;
  /// Floating-point operations, a multiply-add counting two; 0 where only bytes count.
  double flops = 0;
  /// Bytes through device memory: every input read once, every output written once.
  double bytes = 0;
  Arithmetic arithmetic = Arithmetic::bf16;
};

/// Means of the samples taken while a row ran; nothing where NVML is absent.
struct GpuState {
  static constexpr std::chrono::milliseconds pause{10};  ///< between two samples

  std::optional<double> clock_mhz, power_watts;

  GpuState() = default;
  explicit GpuState(const GpuStatistics& samples)
      : clock_mhz(samples.mean_clock_mhz()), power_watts(samples.mean_power_watts()) {}
};

/// What the device reaches with the simplest work, measured by this process on random data.
struct Ceilings {
  double copy_bytes_per_second = 0;                                   ///< device to device, read + written
  std::optional<double> bf16_flops_per_second, fp8_flops_per_second;  ///< 8192^3 through cuBLASLt

  /// The least time of the work, in seconds: the slower of its operations and its bytes. Nothing where the
  /// ceiling of its operations is unknown.
  std::optional<double> floor_seconds(const Row& row) const;
};

/// The same work in another library, timed by the caller in the same run; or, for a short row that only moves
/// bytes, a device copy of as many.
struct Baseline {
  std::string library;
  double milliseconds = 0;
};

struct Result {
  Row row;
  double milliseconds = 0, fastest_milliseconds = 0, slowest_milliseconds = 0;  ///< median and extremes
  int runs = 0;
  std::optional<double> floor_share;
  GpuState state;
  std::optional<Baseline> baseline;

  double flops_per_second() const { return 1e3 * row.flops / milliseconds; }
  double bytes_per_second() const { return 1e3 * row.bytes / milliseconds; }
};

/// Measures rows on the current device, prints each as it is done, keeps all.
class Report {
 public:
  /// Measures the ceilings and prints them with the device's name. Throws RequestError without a GPU.
  explicit Report(std::FILE* output = stdout);

  /// Baselines by the name of the row that they belong to.
  void set_baselines(std::map<std::string, Baseline> baselines) { baselines_ = std::move(baselines); }

  /// The algorithms that matrix products take; the library's first proposals without.
  void set_matmul_table(std::vector<MatmulTableRow> table) { matmul_table_ = std::move(table); }
  const std::vector<MatmulTableRow>& matmul_table() const { return matmul_table_; }

  /// Times call(0), call(1), ...: each must enqueue the row's work once, on the default stream, and take the
  /// inputs `run` modulo the number of sets. After two runs that count for nothing, as many as fill
  /// `least_seconds` (at least 5, at most 200), each between two events, the median being the result; short
  /// ones in bursts, as timing.cuh says. A row that moves less than four times the L2 has it emptied before
  /// each run; so has the device copy that short rows without a baseline are set against.
  void measure(const Row& row, const std::function<void(int run)>& call, double least_seconds = 0.3);

  const std::string& device_name() const { return device_name_; }
  const Ceilings& ceilings() const { return ceilings_; }
  const std::vector<Result>& results() const { return results_; }

 private:
  std::FILE* output_;
  std::string device_name_, pci_bus_id_;
  double l2_bytes_ = 0;
  Ceilings ceilings_;
  std::map<std::string, Baseline> baselines_;
  std::vector<MatmulTableRow> matmul_table_;
  std::vector<Result> results_;
};

/// Whether there is a GPU to measure.
bool has_device();

}  // namespace stepvideo::bench
