// The host: processor, memory, limits, the place for results.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "doctor/checks.hpp"

namespace stepvideo::doctor {
namespace {

constexpr double gibibyte = 1 << 30, mebibyte = 1 << 20, kibibyte = 1 << 10;
/// Of the release's transformer, its largest part.
constexpr double release_parameters = 29'342'478'400.0;

}  // namespace

std::string in_gibibytes(double bytes) {
  return fmt::format("{:.1f} GiB", bytes / gibibyte);
}

std::string in_bytes(double bytes) {
  if (bytes >= gibibyte) return in_gibibytes(bytes);
  return bytes >= mebibyte ? fmt::format("{:.0f} MiB", bytes / mebibyte)
                           : fmt::format("{:.0f} KiB", bytes / kibibyte);
}

std::string what_fits(const HostFacts& host) {
  const auto total = static_cast<double>(host.memory_bytes);
  return total > 4 * release_parameters   ? "the release fits in fp32"
         : total > 2 * release_parameters ? "the release fits with --precision bf16"
                                          : "the demo model fits, the release does not";
}

Findings check_processor(const Case& subject) {
  const HostFacts& host = subject.machine.host;
  const auto has = [&](const std::string& feature) {
    return std::ranges::find(host.cpu_features, feature) != host.cpu_features.end();
  };
  Finding finding{.check = "processor",
                  .found = fmt::format("{} {}", host.cores, host.cores == 1 ? "core" : "cores"),
                  .wanted = {},
                  .fix = {}};
  if (!host.cpu_features.empty()) finding.found += fmt::format(", {}", fmt::join(host.cpu_features, ", "));
  std::vector<std::string> lacks;
  for (const auto& feature : subject.machine.build.cpu_features)
    if (!has(feature)) lacks.push_back(feature);
  if (!lacks.empty()) {
    finding.verdict = Verdict::unfit;
    finding.wanted = fmt::format("{}: this build uses it", fmt::join(lacks, ", "));
    finding.fix = "cmake --preset portable && cmake --build --preset portable";
  } else if (subject.is_on_cpu() && !has("avx2")) {
    finding.verdict = Verdict::warning;
    finding.wanted = "avx2: without it models are slow on the CPU";
  } else if (host.cores < subject.gpus) {
    finding.verdict = Verdict::warning;
    finding.wanted = "a core for each GPU's rank";
    finding.fix = fmt::format("docker run --cpus {}", 2 * subject.gpus);
  }
  return {finding};
}

Findings check_memory(const Case& subject) {
  const HostFacts& host = subject.machine.host;
  const auto total = static_cast<double>(host.memory_bytes), free = static_cast<double>(host.available_bytes);
  constexpr double demo_bytes = gibibyte;  // models/demo, generously
  Finding finding{.check = "memory",
                  .found = fmt::format("{}, {:.1f} available", in_gibibytes(total), free / gibibyte),
                  .wanted = "1 GiB for the demo model",
                  .fix = {}};
  if (free < demo_bytes) {
    finding.verdict = total < demo_bytes ? Verdict::unfit : Verdict::warning;
    finding.fix = "ps aux --sort=-rss | head";
    return {finding};
  }
  if (!subject.is_on_cpu()) return {finding};
  finding.wanted = fmt::format("weights of the release: {:.0f} GiB in fp32, {:.0f} in bf16",
                               4 * release_parameters / gibibyte, 2 * release_parameters / gibibyte);
  return {finding};
}

Findings check_shared_memory(const Case& subject) {
  if (subject.gpus < 2) return {};
  const HostFacts& host = subject.machine.host;
  Finding finding{.check = "/dev/shm",
                  .found = "none",
                  .wanted = "1 GiB for NCCL",
                  .fix = "docker run --shm-size=1g ... || sudo mount -o remount,size=1g /dev/shm"};
  if (!host.shm_bytes || !host.shm_free_bytes) {
    finding.verdict = Verdict::unfit;
    return {finding};
  }
  const auto total = static_cast<double>(*host.shm_bytes), free = static_cast<double>(*host.shm_free_bytes);
  finding.found = fmt::format("{}, {} free", in_bytes(total), in_bytes(free));
  // NCCL's user guide asks for 1 GiB. Where peers have no access every directed pair takes a segment; users'
  // logs of running out name 9,637,888 bytes for one.
  constexpr double segment_bytes = 9'637'888;
  bool all_peers = !subject.machine.links.empty();
  for (const auto& link : subject.machine.links) all_peers &= link.peer_access == std::optional(true);
  const double needed = all_peers ? 0 : segment_bytes * subject.gpus * (subject.gpus - 1);
  if (free >= gibibyte) {
    finding.fix.clear();
  } else if (free < needed) {
    finding.verdict = Verdict::unfit;
    finding.wanted = fmt::format("1 GiB: NCCL needs about {} for {} GPUs without peer access",
                                 in_bytes(needed), subject.gpus);
  } else {
    finding.verdict = Verdict::warning;
  }
  return {finding};
}

Findings check_locked_memory(const Case& subject) {
  if (subject.gpus < 2) return {};
  const auto& limit = subject.machine.host.locked_memory_bytes;
  Finding finding{.check = "locked memory",
                  .found = limit ? in_bytes(static_cast<double>(*limit)) : "unlimited",
                  .wanted = "unlimited, for buffers that a network card reads",
                  .fix = {}};
  if (limit) {
    finding.verdict = Verdict::warning;
    finding.fix = "ulimit -l unlimited || docker run --ulimit memlock=-1 ...";
  }
  return {finding};
}

Findings check_open_files(const Case& subject) {
  const HostFacts& host = subject.machine.host;
  // A rank keeps sockets to its peers and one descriptor for each shard and shared buffer.
  const std::uint64_t wanted = subject.gpus > 1 ? 4096 : 256;
  Finding finding{.check = "open files",
                  .found = std::to_string(host.open_files),
                  .wanted = fmt::format("{} or more", wanted),
                  .fix = {}};
  if (host.open_files < wanted) {
    finding.verdict = Verdict::warning;
    finding.fix = host.most_open_files >= wanted
                      ? fmt::format("ulimit -n {}", wanted)
                      : fmt::format("sudo prlimit --pid $$ --nofile={0}:{0}", wanted);
  }
  return {finding};
}

Findings check_output_place(const Case& subject) {
  const HostFacts& host = subject.machine.host;
  // 204 frames of 992x544 as a tensor take 1.3 GB; latents 19 MB.
  constexpr double comfortable = 2 * gibibyte, least = 64 * mebibyte;
  Finding finding{.check = "output", .found = {}, .wanted = "2 GiB free", .fix = {}};
  if (!host.output_free_bytes) {
    finding.verdict = Verdict::unfit;
    finding.found = host.output_folder + " does not exist";
    finding.wanted = "a folder";
    finding.fix = fmt::format("mkdir -p '{}'", host.output_folder);
    return {finding};
  }
  const auto free = static_cast<double>(*host.output_free_bytes);
  finding.found = fmt::format("{} free in {}", in_bytes(free), host.output_folder);
  if (!host.output_writable) {
    finding.verdict = Verdict::unfit;
    finding.found = host.output_folder + " is not writable";
    finding.wanted = "a writable folder";
    finding.fix = fmt::format("sudo chown $USER '{}'", host.output_folder);
  } else if (free < comfortable) {
    finding.verdict = free < least ? Verdict::unfit : Verdict::warning;
    finding.fix = fmt::format("du -xh --max-depth=1 '{}' | sort -h", host.output_folder);
  }
  return {finding};
}

}  // namespace stepvideo::doctor
