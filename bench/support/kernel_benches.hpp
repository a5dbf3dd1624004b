// Every bench of a device kernel: what the build found as bench/NAME.cu.
#pragma once
#include <vector>

#include "support/report.hpp"

namespace stepvideo::bench {

struct KernelBench {
  const char* name;
  void (*run)(Report& report);
};

const std::vector<KernelBench>& kernel_benches();

}  // namespace stepvideo::bench
