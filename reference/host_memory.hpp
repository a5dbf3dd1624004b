// How much of the machine's memory this process may have.
#pragma once
#include <cstdint>
#include <filesystem>

namespace stepvideo {

/// Of the machine, or of the control group or the limit of addresses (ulimit -v) that holds this process,
/// where those are less.
struct HostMemory {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  ///< for what is asked for now; what the page cache holds counts
};

/// Reads it from the files of proc(5) and cgroups(7) below `root`, version 2 or 1; every group from this
/// process's to the root of them limits it. What no file tells is the machine's.
HostMemory read_host_memory(const std::filesystem::path& root = "/");

}  // namespace stepvideo
