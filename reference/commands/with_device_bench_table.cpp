#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <stepvideo/core/error.hpp>

#include "commands/bench_device.hpp"
#include "commands/bench_pytorch.hpp"
#include "commands/flag_words.hpp"
#include "io/pending_file.hpp"
#include "plan/matmul_table.hpp"
#include "support/kernel_benches.hpp"

namespace stepvideo::commands {
namespace {

using nlohmann::ordered_json;

/// The benches that were asked for.
std::vector<bench::KernelBench> choose_benches(const std::vector<std::string>& only) {
  const auto& all = bench::kernel_benches();
  std::vector<std::string> names;
  for (const auto& known : all) names.emplace_back(known.name);
  for (const auto& name : only)
    require(std::ranges::find(names, name) != names.end(), [&] {
      const auto nearest = nearest_word(name, names);
      return fmt::format(
          "--only: '{}' is no bench; {}", name,
          nearest ? "did you mean " + *nearest + "?" : fmt::format("there are {}", fmt::join(names, ", ")));
    });
  std::vector<bench::KernelBench> chosen;
  for (const auto& bench : all)
    if (only.empty() || std::ranges::find(only, bench.name) != only.end()) chosen.push_back(bench);
  return chosen;
}

ordered_json optional_json(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json to_json(const bench::Result& result) {
  ordered_json row = {{"name", result.row.name},
                      {"milliseconds", result.milliseconds},
                      {"fastest_milliseconds", result.fastest_milliseconds},
                      {"slowest_milliseconds", result.slowest_milliseconds},
                      {"runs", result.runs},
                      {"flops", result.row.flops},
                      {"bytes", result.row.bytes},
                      {"flops_per_second", result.flops_per_second()},
                      {"bytes_per_second", result.bytes_per_second()},
                      {"floor_share", optional_json(result.floor_share)},
                      {"clock_mhz", optional_json(result.state.clock_mhz)},
                      {"power_watts", optional_json(result.state.power_watts)}};
  if (result.baseline)
    row["baseline"] = {{"library", result.baseline->library},
                       {"milliseconds", result.baseline->milliseconds},
                       {"ratio", result.baseline->milliseconds / result.milliseconds}};
  return row;
}

ordered_json to_json(const bench::Report& report, const std::string& libraries) {
  const auto& ceilings = report.ceilings();
  ordered_json rows = ordered_json::array();
  for (const auto& result : report.results()) rows.push_back(to_json(result));
  return {{"device", report.device_name()},
          {"libraries", libraries.empty() ? ordered_json() : ordered_json(libraries)},
          {"copy_bytes_per_second", ceilings.copy_bytes_per_second},
          {"bf16_flops_per_second", optional_json(ceilings.bf16_flops_per_second)},
          {"fp8_flops_per_second", optional_json(ceilings.fp8_flops_per_second)},
          {"rows", rows}};
}

}  // namespace

bool can_bench_device() {
  return bench::has_device();
}

void bench_device(const DeviceBenchRequest& request) {
  require(bench::has_device(), [] {
    return "--device cuda: this machine has no CUDA GPU, or no driver for it; --device cpu works";
  });
  const auto benches = choose_benches(request.only);
  PytorchTimes pytorch;
  if (request.pytorch) {
    std::vector<std::string> names;
    for (const auto& chosen : benches) names.emplace_back(chosen.name);
    pytorch = time_pytorch(*request.pytorch, names);
    fmt::print("{}\n", pytorch.versions);
    std::fflush(stdout);
  }
  bench::Report report;
  report.set_baselines(pytorch.rows);
  report.set_matmul_table(plan::built_in_matmul_rows());
  for (const auto& chosen : benches) chosen.run(report);
  if (request.json) {
    io::PendingFile file(*request.json);
    std::ofstream(file.temporary()) << to_json(report, pytorch.versions).dump(2) << '\n';
    file.publish();
  }
}

}  // namespace stepvideo::commands
