// Clocks and power of one GPU while something runs.
#pragma once
#include <memory>
#include <string>

#include "support/report.hpp"

namespace stepvideo::bench {

/// Samples from its construction to stop() in a thread of its own. NVML is opened at run time, so nothing
/// links to it; where it is absent, or does not answer, the state holds nothing.
class GpuMonitor {
 public:
  /// `pci_bus_id` as in cudaDeviceGetPCIBusId.
  explicit GpuMonitor(const std::string& pci_bus_id);
  ~GpuMonitor();
  /// Ends the sampling; the means of what was sampled.
  GpuState stop();

 private:
  struct Sampler;
  std::unique_ptr<Sampler> sampler_;
};

}  // namespace stepvideo::bench
