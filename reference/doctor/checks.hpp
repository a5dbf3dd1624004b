// The checks: each looks at one thing and says what was found, what was wanted, and what to do.
#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "doctor/finding.hpp"
#include "doctor/machine_facts.hpp"

namespace stepvideo::doctor {

/// A machine, and what is to run on it.
struct Case {
  const MachineFacts& machine;
  int gpus = 0;                   ///< wanted; 0 is the CPU
  std::vector<std::size_t> used;  ///< of machine.gpus: the first visible ones, as many as wanted or there are

  /// Whether models run on the CPU: no GPU is wanted, or this build has no use for one.
  bool is_on_cpu() const { return gpus == 0 || !machine.build.model_on_gpu; }
  const GpuFacts& gpu(std::size_t index) const { return machine.gpus[index]; }
};

// Each may find nothing to say: what concerns GPUs is left out where none is wanted.
Findings check_build(const Case& subject);
Findings check_driver(const Case& subject);
Findings check_runtime(const Case& subject);
Findings check_cublas(const Case& subject);
Findings check_nccl(const Case& subject);
Findings check_gpus(const Case& subject);
Findings check_gpu_count(const Case& subject);
Findings check_gpu_memory(const Case& subject);
Findings check_clocks(const Case& subject);
Findings check_gpu_state(const Case& subject);
Findings check_topology(const Case& subject);
Findings check_peer_access(const Case& subject);
Findings check_processor(const Case& subject);
Findings check_memory(const Case& subject);
Findings check_shared_memory(const Case& subject);
Findings check_locked_memory(const Case& subject);
Findings check_open_files(const Case& subject);
Findings check_output_place(const Case& subject);
Findings check_environment(const Case& subject);

/// Every component of a checkpoint folder, and whether the largest fits this machine's memory where it must.
/// Throws RequestError naming --model when nothing of a model is there.
Findings check_checkpoint(const Case& subject, const std::filesystem::path& model);

/// "23.5 GiB"
std::string in_gibibytes(double bytes);
/// "64 MiB": in the largest unit of which there is one.
std::string in_bytes(double bytes);
/// What of the models fits the host's memory: "the demo model fits", ...
std::string what_fits(const HostFacts& host);

}  // namespace stepvideo::doctor
