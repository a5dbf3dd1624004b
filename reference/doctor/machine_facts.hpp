// What doctor knows about a machine: found by probing, or read from a recorded file. The checks see nothing
// else, so that a recorded machine is judged exactly as a real one.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.hpp"

namespace stepvideo::doctor {

/// What this program was built with.
struct BuildFacts {
  std::string version;
  std::optional<std::string> cuda;  ///< the toolkit's version; nothing in a host-only build
  bool video = false, text = false;
  bool model_on_gpu = false;              ///< whether this version runs a model on a GPU, not only kernels
  std::vector<std::string> cpu_features;  ///< what the compiler was allowed to use, as in /proc/cpuinfo
};

struct HostFacts {
  std::string system, processor;
  int cores = 0;  ///< that this process may use
  std::vector<std::string> cpu_features;
  std::uint64_t memory_bytes = 0, available_bytes = 0;  ///< of the control group where it has less
  std::optional<std::uint64_t> shm_bytes, shm_free_bytes;
  std::optional<std::uint64_t> locked_memory_bytes;  ///< nothing: unlimited
  std::uint64_t open_files = 0, most_open_files = 0;
  std::string output_folder;
  std::optional<std::uint64_t> output_free_bytes;  ///< nothing: no such folder
  bool output_writable = false;
  std::vector<std::string> network_interfaces;
};

struct DriverFacts {
  std::optional<std::string> version;  ///< "580.65.06"
  std::optional<std::string> cuda;     ///< newest CUDA it serves: "13.0"
  std::optional<int> init_error;       ///< what cuInit answered; 0 is success
  std::vector<std::string> problems;   ///< one sentence for each library that is missing, died or hung
};

/// A library that the loader finds at run time.
struct LibraryFacts {
  std::string name;  ///< cudart, cublasLt or nccl
  std::optional<std::string> path;
  std::optional<std::string> version;  ///< "12.5.3.2"; the last part may be missing
  std::optional<std::string> problem;
};

struct GpuFacts {
  std::string name, bus_id;
  std::string compute_capability;  ///< "9.0"
  bool is_visible = true;          ///< to CUDA: CUDA_VISIBLE_DEVICES hides
  std::uint64_t memory_bytes = 0, free_bytes = 0;
  std::optional<int> clock_mhz, most_clock_mhz, temperature;
  std::vector<std::string> throttled_by;  ///< hw_slowdown, hw_thermal, hw_power_brake, sw_thermal, ...
  std::optional<bool> has_ecc, has_mig, is_persistent, needs_row_remap, failed_row_remap;
  std::optional<std::uint64_t> uncorrected_errors;
  std::optional<std::string> compute_mode;  ///< default, exclusive_process, prohibited
  std::optional<int> nvlinks;               ///< that are up
  std::optional<int> pcie_generation, pcie_width, most_pcie_width;
};

/// Between two GPUs, given by their places in MachineFacts::gpus.
struct LinkFacts {
  int from = 0, to = 0;
  std::string kind;  ///< nvlink; pix, pxb, phb, node or sys as in nvidia-smi topo; unknown
  std::optional<bool> peer_access;
};

struct MachineFacts {
  BuildFacts build;
  HostFacts host;
  DriverFacts driver;
  std::vector<LibraryFacts> libraries;
  std::vector<GpuFacts> gpus;
  std::vector<LinkFacts> links;
  std::map<std::string, std::string> environment;

  const LibraryFacts* library(const std::string& name) const;
};

io::Json to_json(const MachineFacts& facts);
/// `path` names the source in errors. Throws RequestError naming file and field when one is missing, of
/// another kind, or disagrees with another (a link between GPUs that are not listed).
MachineFacts machine_facts(const io::Json& json, const std::filesystem::path& path);
MachineFacts read_machine_facts(const std::filesystem::path& path);

}  // namespace stepvideo::doctor
