#include <algorithm>
#include <chrono>
#include <fstream>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "commands/bench_device.hpp"
#include "io/pending_file.hpp"
#include "plan/matmul_table.hpp"
#include "support/matmul_search.hpp"
#include "support/report.hpp"

namespace stepvideo::commands {
namespace {

MatmulElement element_of(const std::string& precision) {
  return precision == "bf16" ? MatmulElement::bf16
                             : (precision == "fp16" ? MatmulElement::fp16 : MatmulElement::fp32);
}

}  // namespace

void bench_matmuls(const MatmulSearchRequest& request) {
  require(bench::has_device(), [] {
    return "bench linear: this machine has no CUDA GPU, or no driver for it; run it where there is one";
  });
  plan::MatmulTable table{.gpu = bench::matmul_device_name(),
                          .source = "stepvideo bench linear: medians of 9 rounds, the finalists in turns",
                          .platform = bench::matmul_platform()};
  const auto* const known = plan::find_matmul_table(table.platform);
  fmt::print(
      "{}, compute capability {}.{}, {} multiprocessors, cuBLASLt {}; {}\n", table.gpu,
      table.platform.capability_major, table.platform.capability_minor, table.platform.multiprocessors,
      table.platform.library_version,
      known == nullptr ? "no table of it is built in" : fmt::format("the table {} is built in", known->name));
  std::fflush(stdout);
  std::vector<MatmulShape> shapes;  // some are of every precision
  for (const auto& precision : request.precisions)
    for (const auto& shape : bench::release_matmuls(element_of(precision)))
      if (std::ranges::find(shapes, shape) == shapes.end()) shapes.push_back(shape);
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& found : bench::search_matmuls(shapes, {.is_thorough = request.is_thorough}))
    table.entries.push_back({found.shape, found.algorithm, found.milliseconds, found.first_milliseconds});
  fmt::print("{} of {} products in {:.0f} s\n", table.entries.size(), shapes.size(),
             std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  if (!request.save) return;
  io::PendingFile file(*request.save);
  std::ofstream(file.temporary()) << plan::matmul_table_text(table);
  file.publish();
  fmt::print("{}: {} products, digest {}\n", request.save->string(), table.entries.size(), table.digest());
}

}  // namespace stepvideo::commands
