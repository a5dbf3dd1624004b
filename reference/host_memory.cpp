#include "host_memory.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <sys/resource.h>
#include <unistd.h>

namespace stepvideo {
namespace {

namespace fs = std::filesystem;

/// A file of one number; nothing where it says "max" or is absent.
std::optional<std::uint64_t> number_of(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

/// "name value" or "name: value unit" a line.
std::map<std::string, std::uint64_t> numbers_of(const fs::path& path) {
  std::map<std::string, std::uint64_t> numbers;
  std::ifstream file(path);
  std::string name, rest;
  for (std::uint64_t value = 0; file >> name >> value; std::getline(file, rest)) numbers[name] = value;
  return numbers;
}

/// How a version of control groups calls things.
struct GroupFiles {
  std::string_view mount, limit, use;
  /// In memory.stat: what of the use can be given back.
  std::string_view inactive_files, active_files;
};
constexpr GroupFiles version_2{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file",
                               "active_file"};
constexpr GroupFiles version_1{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file", "total_active_file"};

void limit_by(HostMemory& memory, std::uint64_t limit, std::uint64_t use) {
  memory.total_bytes = std::min(memory.total_bytes, limit);
  memory.available_bytes = std::min(memory.available_bytes, limit - std::min(use, limit));
}

/// By `group`, a path from the mount's root, and all above it. A container may see its own group as the root,
/// or its files at the mount although it is told another path.
void limit_by_groups(HostMemory& memory, const fs::path& root, const GroupFiles& files, fs::path group) {
  const fs::path mount = root / files.mount;
  for (bool is_root = false; !is_root; group = group.parent_path()) {
    is_root = group == group.parent_path() || group.empty();
    const fs::path folder = mount / group.relative_path();
    const auto limit = number_of(folder / files.limit);
    if (!limit) continue;
    auto stat = numbers_of(folder / "memory.stat");
    const std::uint64_t use = number_of(folder / files.use).value_or(0),
                        cache =
                            stat[std::string(files.inactive_files)] + stat[std::string(files.active_files)];
    limit_by(memory, *limit, use - std::min(use, cache));
  }
}

/// This process's groups: "0::/path" of version 2, "4:memory:/path" of version 1.
void limit_by_control_groups(HostMemory& memory, const fs::path& root) {
  std::ifstream file(root / "proc/self/cgroup");
  std::string of_2 = "/", of_1 = "/";
  for (std::string line; std::getline(file, line);) {
    const auto controllers = line.find(':'), path = line.find(':', controllers + 1);
    if (controllers == line.npos || path == line.npos) continue;
    const std::string names = "," + line.substr(controllers + 1, path - controllers - 1) + ",";
    if (names == ",,") of_2 = line.substr(path + 1);
    if (names.find(",memory,") != names.npos) of_1 = line.substr(path + 1);
  }
  limit_by_groups(memory, root, version_2, of_2);
  limit_by_groups(memory, root, version_1, of_1);
}

/// By ulimit -v, of which what is mapped already is used.
void limit_by_addresses(HostMemory& memory, const fs::path& root) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const std::uint64_t pages = number_of(root / "proc/self/statm").value_or(0);
  limit_by(memory, limit.rlim_cur, pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
}

}  // namespace

HostMemory read_host_memory(const fs::path& root) {
  const auto told = numbers_of(root / "proc/meminfo");
  const auto kibibytes = [&](const char* name, std::uint64_t otherwise) {
    const auto found = told.find(name);
    return found == told.end() ? otherwise : found->second << 10;
  };
  HostMemory memory;
  memory.total_bytes = kibibytes("MemTotal:", static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                                                  static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
  memory.available_bytes = kibibytes("MemAvailable:", memory.total_bytes);
  limit_by_control_groups(memory, root);
  limit_by_addresses(memory, root);
  return memory;
}

}  // namespace stepvideo
