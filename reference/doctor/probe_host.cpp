#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

#include <ifaddrs.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor/probe.hpp"
#include "host_memory.hpp"

extern char** environ;

namespace stepvideo::doctor {
namespace {

namespace fs = std::filesystem;

struct Space {
  std::uint64_t total = 0, free = 0;
};
std::optional<Space> space_at(const fs::path& folder) {
  struct statvfs space {};
  if (statvfs(folder.c_str(), &space) != 0) return {};
  return Space{std::uint64_t{space.f_blocks} * space.f_frsize,
               std::uint64_t{space.f_bavail} * space.f_frsize};
}

void read_processor(HostFacts& host) {
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> flags;
  for (std::string line; std::getline(file, line) && (host.processor.empty() || flags.empty());) {
    const auto colon = line.find(':');
    if (colon == line.npos) continue;
    const std::string value = colon + 2 < line.size() ? line.substr(colon + 2) : "";
    if (line.starts_with("model name")) host.processor = value;
    if (line.starts_with("flags")) {
      std::istringstream words(value);
      for (std::string word; words >> word;) flags.push_back(word);
    }
  }
  for (const char* feature : {"avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"})
    if (std::ranges::find(flags, feature) != flags.end()) host.cpu_features.emplace_back(feature);
}

/// Cores of the affinity mask, or of the control group's quota where that is less.
int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                          : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  std::ifstream quota("/sys/fs/cgroup/cpu.max");
  double most = 0, period = 0;
  if (quota >> most >> period && most > 0 && period > 0)
    cores = std::min(cores, static_cast<int>((most + period - 1) / period));
  return std::max(cores, 1);
}

void read_memory(HostFacts& host) {
  const HostMemory memory = read_host_memory();
  host.memory_bytes = memory.total_bytes, host.available_bytes = memory.available_bytes;
}

void read_limits(HostFacts& host) {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    host.locked_memory_bytes = limit.rlim_cur;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    host.open_files = limit.rlim_cur;
    host.most_open_files = limit.rlim_max;
  }
}

void read_output_place(HostFacts& host, const fs::path& output) {
  std::error_code unused;
  const fs::path absolute = fs::absolute(output, unused);
  const fs::path folder = fs::is_directory(absolute, unused) ? absolute : absolute.parent_path();
  host.output_folder = (folder / "").lexically_normal().parent_path().string();
  if (const auto space = space_at(folder)) host.output_free_bytes = space->free;
  host.output_writable = access(folder.c_str(), W_OK) == 0;
}

}  // namespace

HostFacts probe_host(const fs::path& output) {
  HostFacts host;
  utsname system{};
  if (uname(&system) == 0)
    host.system = std::string(system.sysname) + " " + system.release + " " + system.machine;
  read_processor(host);
  host.cores = usable_cores();
  read_memory(host);
  if (const auto shm = space_at("/dev/shm")) {
    host.shm_bytes = shm->total;
    host.shm_free_bytes = shm->free;
  }
  read_limits(host);
  read_output_place(host, output);
  if (ifaddrs* all = nullptr; getifaddrs(&all) == 0) {
    for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next)
      if (std::ranges::find(host.network_interfaces, entry->ifa_name) == host.network_interfaces.end())
        host.network_interfaces.emplace_back(entry->ifa_name);
    freeifaddrs(all);
  }
  return host;
}

std::map<std::string, std::string> probe_environment() {
  static constexpr std::array<std::string_view, 12> prefixes{"CUDA_",
                                                             "NCCL_",
                                                             "TORCH_",
                                                             "PYTORCH_",
                                                             "OMP_",
                                                             "GOMP_",
                                                             "OPENBLAS_",
                                                             "MKL_",
                                                             "KMP_",
                                                             "NVIDIA_TF32_OVERRIDE",
                                                             "NVIDIA_VISIBLE_DEVICES",
                                                             "CUBLAS"};
  std::map<std::string, std::string> found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    const auto equals = variable.find('=');
    if (equals == variable.npos ||
        std::ranges::none_of(prefixes, [&](auto prefix) { return variable.starts_with(prefix); }))
      continue;
    found.emplace(variable.substr(0, equals), variable.substr(equals + 1));
  }
  return found;
}

}  // namespace stepvideo::doctor
