// The memory that this process may have: machine, control groups, limits.
#define BOOST_TEST_MODULE host_memory
#include "host_memory.hpp"

#include <algorithm>
#include <string>

#include <boost/test/unit_test.hpp>

#include "pipeline/latents.hpp"
#include "support/program.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

constexpr std::uint64_t gibibyte = 1 << 30;

/// A machine of 64 GiB, 50 of them available.
struct Machine {
  ScratchFolder files;

  Machine() {
    files.write("proc/meminfo",
                "MemTotal:       67108864 kB\nMemFree:         1048576 kB\nMemAvailable:   52428800 kB\n");
  }
  void group(const std::string& folder, const char* limit_name, const std::string& limit,
             const char* use_name, std::uint64_t use, const std::string& stat) {
    files.write(folder + "/" + limit_name, limit + "\n");
    files.write(folder + "/" + use_name, std::to_string(use) + "\n");
    files.write(folder + "/memory.stat", stat);
  }
  void check(std::uint64_t total, std::uint64_t available) const {
    const HostMemory memory = read_host_memory(files.path());
    BOOST_CHECK_EQUAL(memory.total_bytes / gibibyte, total);
    BOOST_CHECK_EQUAL(memory.available_bytes / gibibyte, available);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(without_limits_it_is_the_machines) {
  Machine machine;
  machine.check(64, 50);
  machine.files.write("proc/self/cgroup", "0::/user.slice\n");
  machine.group("sys/fs/cgroup/user.slice", "memory.max", "max", "memory.current", 10 * gibibyte, "");
  machine.check(64, 50);
}

BOOST_AUTO_TEST_CASE(a_groups_limit_counts_and_what_the_page_cache_holds_is_available) {
  Machine machine;
  machine.files.write("proc/self/cgroup", "0::/\n");
  machine.group("sys/fs/cgroup", "memory.max", std::to_string(16 * gibibyte), "memory.current", 12 * gibibyte,
                "anon 1\ninactive_file " + std::to_string(5 * gibibyte) + "\nactive_file " +
                    std::to_string(2 * gibibyte) + "\n");
  machine.check(16, 11);
}

BOOST_AUTO_TEST_CASE(every_group_above_limits_too) {
  Machine machine;
  machine.files.write("proc/self/cgroup", "0::/jobs/job7/step0\n");
  machine.group("sys/fs/cgroup/jobs/job7/step0", "memory.max", "max", "memory.current", gibibyte, "");
  machine.group("sys/fs/cgroup/jobs/job7", "memory.max", std::to_string(8 * gibibyte), "memory.current",
                2 * gibibyte, "");
  machine.group("sys/fs/cgroup/jobs", "memory.max", std::to_string(32 * gibibyte), "memory.current",
                30 * gibibyte, "");
  machine.check(8, 2);
}

BOOST_AUTO_TEST_CASE(groups_of_version_1_limit_as_well) {
  Machine machine;
  machine.files.write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n");
  machine.group("sys/fs/cgroup/memory/docker/abc", "memory.limit_in_bytes", std::to_string(4 * gibibyte),
                "memory.usage_in_bytes", 3 * gibibyte,
                "total_inactive_file " + std::to_string(gibibyte) + "\n");
  machine.check(4, 2);
  // A container is told its path on the host, and finds its files at the mount.
  Machine container;
  container.files.write("proc/self/cgroup", "4:memory:/docker/abc\n");
  container.group("sys/fs/cgroup/memory", "memory.limit_in_bytes", std::to_string(4 * gibibyte),
                  "memory.usage_in_bytes", gibibyte, "");
  container.check(4, 3);
}

BOOST_AUTO_TEST_CASE(a_limit_of_addresses_counts) {
  // decode asks for the memory that generate asks for, and says so before the work.
  const ScratchFolder folder;
  pipeline::Latents latents{{3, 34, 62}, 64, Buffer<float>(index_t{3} * 34 * 62 * 64)};
  std::ranges::fill(latents.values, 0.5f);
  const auto file = folder / "latents.safetensors";
  pipeline::write_latents(file, latents);
  const auto refused =
      testing::run_program({"decode", "--weights", "random:1", "--device", "cpu", "--latents", file.string(),
                            "--output", (folder / "v.y4m").string()},
                           "ulimit -v 1500000;");
  BOOST_CHECK_EQUAL(refused.exit_code, 2);
  BOOST_CHECK_MESSAGE(refused.errors.find("this machine has 1.4") != std::string::npos, refused.errors);
}
