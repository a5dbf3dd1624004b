// The GPUs and what joins them.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "doctor/checks.hpp"
#include "doctor/version.hpp"

namespace stepvideo::doctor {
namespace {

constexpr double gibibyte = 1 << 30;

/// The links between GPUs that are used.
std::vector<LinkFacts> used_links(const Case& subject) {
  const auto is_used = [&](int gpu) {
    return std::ranges::find(subject.used, static_cast<std::size_t>(gpu)) != subject.used.end();
  };
  std::vector<LinkFacts> links;
  for (const auto& link : subject.machine.links)
    if (is_used(link.from) && is_used(link.to)) links.push_back(link);
  return links;
}

/// "3 x NVIDIA GeForce RTX 4090, 1 x ..."
std::string names_of(const MachineFacts& machine, const std::vector<std::size_t>& gpus) {
  std::map<std::string, int> counts;
  for (const auto index : gpus) ++counts[machine.gpus[index].name];
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(fmt::format("{} x {}", count, name));
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

Findings check_gpus(const Case& subject) {
  const auto& gpus = subject.machine.gpus;
  Finding finding{.check = "GPUs", .found = {}, .wanted = {}, .fix = {}};
  std::vector<std::size_t> visible;
  for (std::size_t i = 0; i < gpus.size(); ++i)
    if (gpus[i].is_visible) visible.push_back(i);
  finding.found = names_of(subject.machine, visible);
  if (visible.size() < gpus.size()) finding.found += fmt::format(", {} hidden", gpus.size() - visible.size());
  if (subject.gpus == 0) {
    finding.wanted = "none: models run on the CPU";
    return {finding};
  }
  finding.wanted = fmt::format("{} of compute capability 8.0 or newer", subject.gpus);
  if (std::ssize(visible) < subject.gpus) {
    finding.verdict = Verdict::unfit;
    finding.fix = std::ssize(gpus) >= subject.gpus ? "unset CUDA_VISIBLE_DEVICES"
                  : visible.empty()                ? "nvidia-smi -L"
                                    : fmt::format("stepvideo doctor --gpus {}", visible.size());
    return {finding};
  }
  for (const auto index : subject.used) {
    const auto& gpu = subject.gpu(index);
    if (gpu.compute_capability.empty() || Version(gpu.compute_capability) >= Version{8, 0}) continue;
    finding.verdict = Verdict::unfit;
    finding.found = fmt::format("GPU {}: {}, compute {}", index, gpu.name, gpu.compute_capability);
    finding.fix = "nvidia-smi --query-gpu=index,name,compute_cap --format=csv";
    return {finding};
  }
  std::set<std::string> names;
  for (const auto index : subject.used) names.insert(subject.gpu(index).name);
  if (names.size() > 1) {
    finding.verdict = Verdict::warning;
    finding.wanted = "GPUs of one kind: the slowest sets the pace";
    finding.fix = "nvidia-smi -L";
  } else if (!subject.used.empty()) {
    finding.found += ", compute " + subject.gpu(subject.used.front()).compute_capability;
  }
  return {finding};
}

Findings check_gpu_count(const Case& subject) {
  constexpr int heads = 48;
  if (subject.gpus < 2) return {};
  Finding finding{.check = "GPU count",
                  .found = std::to_string(subject.gpus),
                  .wanted = fmt::format("a divisor of {} heads, or guidance=2 times one", heads),
                  .fix = {}};
  const bool divides =
      heads % subject.gpus == 0 || (subject.gpus % 2 == 0 && heads % (subject.gpus / 2) == 0);
  if (!divides) {
    finding.wanted = fmt::format("{} heads do not divide by {}: ring or uneven shards", heads, subject.gpus);
    finding.fix = fmt::format("stepvideo plan --gpus {}", subject.gpus);
  }
  return {finding};
}

Findings check_gpu_memory(const Case& subject) {
  if (subject.used.empty()) return {};
  // The release on 4 GPUs at 992x544x204, as its authors report it.
  constexpr double release_peak = 77.6e9;
  constexpr double least_useful = gibibyte;
  Finding finding{.check = "GPU memory", .found = {}, .wanted = {}, .fix = {}};
  std::uint64_t least_total = ~std::uint64_t{0}, least_free = ~std::uint64_t{0};
  std::vector<std::string> taken;
  bool is_full = false;
  for (const auto index : subject.used) {
    const auto& gpu = subject.gpu(index);
    least_total = std::min(least_total, gpu.memory_bytes);
    least_free = std::min(least_free, gpu.free_bytes);
    const auto free = static_cast<double>(gpu.free_bytes), total = static_cast<double>(gpu.memory_bytes);
    if (free < 0.9 * total)
      taken.push_back(fmt::format("GPU {}: {:.1f} of {} free", index, free / gibibyte, in_gibibytes(total)));
    is_full |= free < least_useful;
  }
  finding.found = fmt::format("{} each, {:.1f} free", in_gibibytes(static_cast<double>(least_total)),
                              static_cast<double>(least_free) / gibibyte);
  finding.wanted = "77.6 GB: the release's peak on 4 GPUs in bf16";
  if (!taken.empty()) {
    finding.verdict = is_full ? Verdict::unfit : Verdict::warning;
    finding.found = fmt::format("{}", fmt::join(taken, "; "));
    finding.wanted = "nobody else's work on them";
    finding.fix = "nvidia-smi --query-compute-apps=gpu_bus_id,pid,name,used_memory --format=csv";
  } else if (static_cast<double>(least_total) < release_peak) {
    finding.verdict = Verdict::warning;
    finding.fix = fmt::format("stepvideo plan --gpus {}", subject.gpus);
  }
  return {finding};
}

Findings check_clocks(const Case& subject) {
  if (subject.used.empty()) return {};
  static const std::set<std::string> hot{"hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal"};
  Finding finding{.check = "GPU clocks", .found = {}, .wanted = "not throttled", .fix = {}};
  std::vector<std::string> slowed;
  bool is_hot = false;
  int most = 0;
  for (const auto index : subject.used) {
    const auto& gpu = subject.gpu(index);
    most = std::max(most, gpu.most_clock_mhz.value_or(0));
    std::vector<std::string> reasons;
    for (const auto& reason : gpu.throttled_by) {
      if (hot.contains(reason) || reason == "application_clocks") reasons.push_back(reason);
      is_hot |= hot.contains(reason);
    }
    if (reasons.empty()) continue;
    slowed.push_back(fmt::format("GPU {}: {}", index, fmt::join(reasons, ", ")));
    if (gpu.clock_mhz && gpu.most_clock_mhz)
      slowed.back() += fmt::format(", {} of {} MHz", *gpu.clock_mhz, *gpu.most_clock_mhz);
    if (gpu.temperature) slowed.back() += fmt::format(", {} C", *gpu.temperature);
  }
  finding.found = most > 0 ? fmt::format("up to {} MHz", most) : "unknown";
  if (most == 0) finding.verdict = Verdict::unknown;
  if (!slowed.empty()) {
    finding.verdict = Verdict::warning;
    finding.found = fmt::format("{}", fmt::join(slowed, "; "));
    finding.fix = is_hot ? "nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER" : "sudo nvidia-smi -rac";
  }
  return {finding};
}

Findings check_gpu_state(const Case& subject) {
  if (subject.used.empty()) return {};
  Finding finding{.check = "GPU state", .found = {}, .wanted = {}, .fix = {}};
  std::vector<std::string> notes;
  const auto note = [&](Verdict verdict, std::size_t index, const std::string& what,
                        const std::string& wanted, const std::string& fix) {
    notes.push_back(fmt::format("GPU {}: {}", index, what));
    if (!finding.wanted.empty() && verdict <= finding.verdict) return;
    finding.verdict = verdict;
    finding.wanted = wanted;
    finding.fix = fix;
  };
  for (const auto index : subject.used) {
    const auto& gpu = subject.gpu(index);
    if (gpu.compute_mode == "prohibited")
      note(Verdict::unfit, index, "compute mode prohibited", "compute mode default",
           fmt::format("sudo nvidia-smi -i {} -c DEFAULT", index));
    if (gpu.has_mig.value_or(false))
      note(subject.gpus > 1 ? Verdict::unfit : Verdict::warning, index, "MIG on",
           "whole GPUs: NCCL does not join MIG's parts", fmt::format("sudo nvidia-smi -i {} -mig 0", index));
    if (gpu.failed_row_remap.value_or(false))
      note(Verdict::warning, index, "a memory row could not be remapped", "sound memory",
           fmt::format("nvidia-smi -i {} -q -d ROW_REMAPPER", index));
    if (gpu.needs_row_remap.value_or(false))
      note(Verdict::warning, index, "a memory row waits to be remapped", "sound memory",
           fmt::format("sudo nvidia-smi -i {} --gpu-reset", index));
    if (gpu.uncorrected_errors.value_or(0) > 0)
      note(Verdict::warning, index, fmt::format("{} uncorrected memory errors", *gpu.uncorrected_errors),
           "none since the driver was loaded", fmt::format("nvidia-smi -i {} -q -d ECC", index));
  }
  if (notes.empty()) {
    const auto count = [&](auto fact) {
      return std::ranges::count_if(
          subject.used, [&](auto index) { return subject.gpu(index).*fact == std::optional(false); });
    };
    notes.push_back(count(&GpuFacts::has_ecc) > 0 ? "ECC off" : "no memory errors");
    if (count(&GpuFacts::is_persistent) > 0) {
      notes.emplace_back("persistence off");
      finding.wanted = "persistence on saves seconds at each start";
      finding.fix = "sudo nvidia-smi -pm 1";
    }
  }
  finding.found = fmt::format("{}", fmt::join(notes, "; "));
  return {finding};
}

Findings check_topology(const Case& subject) {
  if (subject.used.size() < 2) return {};
  const auto links = used_links(subject);
  std::map<std::string, int> kinds;
  for (const auto& link : links) ++kinds[link.kind];
  Finding finding{.check = "links", .found = {}, .wanted = "NVLink between all", .fix = {}};
  std::vector<std::string> parts;
  for (const auto& [kind, count] : kinds)
    parts.push_back(fmt::format("{} of {} pairs {}", count, links.size(),
                                kind == "nvlink"    ? "NVLink"
                                : kind == "unknown" ? kind
                                                    : "PCIe (" + kind + ")"));
  finding.found = parts.empty() ? "unknown" : fmt::format("{}", fmt::join(parts, ", "));
  if (links.empty() || kinds.contains("unknown")) {
    finding.verdict = Verdict::unknown;
    finding.fix = "nvidia-smi topo -m";
    return {finding};
  }
  std::set<int> counts;
  for (const auto index : subject.used) {
    const auto& gpu = subject.gpu(index);
    if (gpu.nvlinks) counts.insert(*gpu.nvlinks);
    if (gpu.pcie_width && gpu.most_pcie_width && *gpu.pcie_width < *gpu.most_pcie_width) {
      finding.verdict = Verdict::warning;
      finding.found += fmt::format("; GPU {}: PCIe x{} of x{}", index, *gpu.pcie_width, *gpu.most_pcie_width);
      finding.wanted = "PCIe at its full width";
      finding.fix = "nvidia-smi --query-gpu=index,pcie.link.width.current,pcie.link.width.max --format=csv";
    }
  }
  if (kinds["nvlink"] != std::ssize(links)) {
    finding.verdict = Verdict::warning;
    finding.wanted = "NVLink between all; over PCIe a plan differs";
    finding.fix = fmt::format("stepvideo plan --gpus {} --link pcie", subject.gpus);
  } else if (counts.size() > 1) {
    finding.verdict = Verdict::warning;
    finding.found += fmt::format(", {} to {} links a GPU", *counts.begin(), *counts.rbegin());
    finding.wanted = "as many on every GPU: one may be down";
    finding.fix = "nvidia-smi nvlink --status";
  } else if (counts.size() == 1) {
    finding.found += fmt::format(", {} links a GPU", *counts.begin());
  }
  return {finding};
}

Findings check_peer_access(const Case& subject) {
  if (subject.used.size() < 2) return {};
  const auto links = used_links(subject);
  const auto with = [&](std::optional<bool> access) {
    return std::ranges::count(links, access, &LinkFacts::peer_access);
  };
  Finding finding{.check = "peer access",
                  .found = fmt::format("{} of {} pairs", with(true), links.size()),
                  .wanted = "all pairs",
                  .fix = {}};
  if (with(false) > 0) {
    finding.verdict = Verdict::warning;
    finding.wanted = "all pairs; the others go through host memory";
    finding.fix = "nvidia-smi topo -p2p rw";
  } else if (with({}) > 0 || links.empty()) {
    finding.verdict = Verdict::unknown;
    finding.fix = "nvidia-smi topo -p2p rw";
  }
  return {finding};
}

}  // namespace stepvideo::doctor
