#include <algorithm>

#include <stepvideo/core/error.hpp>

#include "support/device_bench.cuh"
#include "support/matmul_ceiling.hpp"
#include "support/report.hpp"
#include "support/timing.cuh"

namespace stepvideo::bench {
namespace {

struct ReadParams {
  const uint4* words;
  index_t size;
  unsigned* sink;
};

/// Reads and keeps nothing. What is evicted is written back before the clock starts, and what stays is clean.
__global__ void __launch_bounds__(512) read_kernel(ReadParams params) {
  unsigned sum = 0;
  for (index_t i = index_t{blockIdx.x} * 512 + threadIdx.x; i < params.size; i += index_t{gridDim.x} * 512) {
    const uint4 word = params.words[i];
    sum ^= word.x ^ word.y ^ word.z ^ word.w;
  }
  if (sum == 1) *params.sink = sum;  // never with these words, which the compiler does not know
}

/// Memory four times the size of the L2, read to empty it.
class CacheFlush {
 public:
  explicit CacheFlush(double l2_bytes) : words_(static_cast<index_t>(4 * l2_bytes) / 16), sink_(1) {
    check(cudaMemsetAsync(words_.data(), 0, words_.size_bytes()));
  }
  void operator()() const {
    launch({.grid = 1024, .block = 512}, read_kernel, ReadParams{words_.data(), words_.size(), sink_.data()});
  }

 private:
  Buffer<uint4, Device> words_;
  Buffer<unsigned, Device> sink_;
};

/// Milliseconds of the runtime's own copy of so many bytes.
template <class Before>
double copy_milliseconds(index_t bytes, Before&& before) {
  const RandomSets<float> from(bytes / sizeof(float));
  const Buffer<float, Device> to(bytes / sizeof(float));
  return median(steady_times(
      before, [&](int run) { copy(device, from.at(run), to); }, 0.1));
}

/// Bytes read and written a second by a copy that is long enough.
double copy_bytes_per_second() {
  constexpr index_t bytes = index_t{1} << 30;
  return 2e3 * bytes / copy_milliseconds(bytes, [] {});
}

/// Rows that move less are also set against a copy of their own size, which starting and ending cost as much
/// as them.
constexpr double short_copy_bytes = 1e9;

std::string text(const char* format, std::optional<double> value, double unit = 1) {
  if (!value) return "-";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, unit * *value);
  return buffer;
}

}  // namespace

std::optional<double> Ceilings::floor_seconds(const Row& row) const {
  double seconds = row.bytes / copy_bytes_per_second;
  if (row.flops > 0) {
    const auto& rate = row.arithmetic == Arithmetic::fp8 ? fp8_flops_per_second : bf16_flops_per_second;
    if (!rate) return {};
    seconds = std::max(seconds, row.flops / *rate);
  }
  return seconds;
}

bool has_device() {
  int count = 0;
  const bool has = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  cudaGetLastError();
  return has;
}

Report::Report(std::FILE* output) : output_(output) {
  require(has_device(), [] { return "this machine has no CUDA GPU, and the device's kernels need one"; });
  int index = 0, driver = 0;
  check(cudaGetDevice(&index));
  check(cudaDriverGetVersion(&driver));
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index));
  char pci_bus_id[32] = {};
  check(cudaDeviceGetPCIBusId(pci_bus_id, sizeof pci_bus_id, index));
  device_name_ = properties.name, pci_bus_id_ = pci_bus_id;
  l2_bytes_ = properties.l2CacheSize;
  ceilings_ = {copy_bytes_per_second(), matmul_flops_per_second(Arithmetic::bf16),
               matmul_flops_per_second(Arithmetic::fp8)};
  std::fprintf(
      output_,
      "%s, %d multiprocessors, driver for CUDA %d.%d; copy %.0f GB/s, cuBLASLt 8192^3 bf16 %s and fp8 "
      "%s TFLOP/s\n"
      "%-66s %10s %9s %7s %6s %5s %5s  %s\n",
      properties.name, properties.multiProcessorCount, driver / 1000, driver % 1000 / 10,
      1e-9 * ceilings_.copy_bytes_per_second, text("%.0f", ceilings_.bf16_flops_per_second, 1e-12).c_str(),
      text("%.0f", ceilings_.fp8_flops_per_second, 1e-12).c_str(), "", "ms", "TFLOP/s", "GB/s", "floor",
      "MHz", "W", "against");
  std::fflush(output_);
}

void Report::measure(const Row& row, const std::function<void(int)>& call, double least_seconds) {
  require(std::ranges::none_of(results_, [&](const Result& r) { return r.row.name == row.name; }),
          [&] { return "two rows of the table are called " + row.name; });
  std::optional<CacheFlush> flush;
  if (row.bytes < 4 * l2_bytes_) flush.emplace(l2_bytes_);
  const auto before = [&] {
    if (flush) (*flush)();
  };
  check(cudaDeviceSynchronize());
  GpuMonitor monitor(nvml_source(pci_bus_id_), GpuState::pause);
  const auto times = steady_times(before, call, least_seconds);
  const GpuState state(monitor.stop());
  check(cudaGetLastError());

  Result result{.row = row,
                .milliseconds = median(times),
                .fastest_milliseconds = times.front(),
                .slowest_milliseconds = times.back(),
                .runs = static_cast<int>(times.size()),
                .floor_share = {},
                .state = state,
                .baseline = {}};
  if (const auto floor = ceilings_.floor_seconds(row))
    result.floor_share = 1e3 * *floor / result.milliseconds;
  if (const auto found = baselines_.find(row.name); found != baselines_.end())
    result.baseline = found->second;
  else if (row.flops == 0 && row.bytes > 0 && row.bytes < short_copy_bytes)
    result.baseline = Baseline{"device copy", copy_milliseconds(static_cast<index_t>(row.bytes / 2), before)};

  const auto optional_rate = [](double work, double rate) {
    return work > 0 ? std::optional(rate) : std::nullopt;
  };
  std::string against;
  if (result.baseline) {
    char buffer[128];
    std::snprintf(buffer, sizeof buffer, "%.2fx %s (%.3f ms)",
                  result.baseline->milliseconds / result.milliseconds, result.baseline->library.c_str(),
                  result.baseline->milliseconds);
    against = buffer;
  }
  std::fprintf(output_, "%-66s %10.4f %9s %7s %6s %5s %5s  %s\n", row.name.c_str(), result.milliseconds,
               text("%.1f", optional_rate(row.flops, result.flops_per_second()), 1e-12).c_str(),
               text("%.0f", optional_rate(row.bytes, result.bytes_per_second()), 1e-9).c_str(),
               text("%.0f %%", result.floor_share, 100).c_str(), text("%.0f", state.clock_mhz).c_str(),
               text("%.0f", state.power_watts).c_str(), against.c_str());
  std::fflush(output_);
  results_.push_back(std::move(result));
}

}  // namespace stepvideo::bench
