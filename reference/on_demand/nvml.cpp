#include "on_demand/nvml.hpp"

#include <algorithm>
#include <array>
#include <fstream>

#include <stepvideo/core/error.hpp>

namespace stepvideo::nvml {

Session::Session() : library_("libnvidia-ml.so.1") {
  const int error = library_.get<Init>("nvmlInit_v2")();
  if (error == 0) return;
  auto* const describe = library_.find<ErrorString>("nvmlErrorString");
  throw Error("nvmlInit: " + (describe != nullptr ? std::string(describe(error)) : std::to_string(error)));
}

std::optional<Session> Session::open_if_there() {
  try {
    return Session();
  } catch (const Error&) {
    return {};
  }
}

Device* Session::device(const std::string& bus_id) const {
  Device* device = nullptr;
  return ask<HandleByText>("nvmlDeviceGetHandleByPciBusId_v2", bus_id.c_str(), &device) ? device : nullptr;
}

std::optional<int> Session::number(const char* name, Device* device) const {
  unsigned value = 0;
  return ask<Number>(name, device, &value) ? std::optional(static_cast<int>(value)) : std::nullopt;
}
std::optional<int> Session::number(const char* name, Device* device, int kind) const {
  unsigned value = 0;
  return ask<KindNumber>(name, device, kind, &value) ? std::optional(static_cast<int>(value)) : std::nullopt;
}
std::optional<bool> Session::mode(const char* name, Device* device) const {
  unsigned now = 0, after_reboot = 0;
  return ask<Modes>(name, device, &now, &after_reboot) ? std::optional(now != 0) : std::nullopt;
}

std::optional<Memory> Session::memory(Device* device) const {
  Memory memory{};
  return ask<GetMemory>("nvmlDeviceGetMemoryInfo", device, &memory) ? std::optional(memory) : std::nullopt;
}

std::optional<double> Session::power_watts(Device* device) const {
  FieldValue power{};
  power.field = field_power_instant;  // in milliwatts
  if (!ask<GetFields>("nvmlDeviceGetFieldValues", device, 1, &power) || power.status != 0) return {};
  return 1e-3 * power.value.as_unsigned;
}

std::vector<std::string> Session::throttle_reasons(Device* device) const {
  // Bit 0 is an idle GPU, which is no throttling.
  static constexpr std::array<const char*, 9> names{
      "",           "application_clocks", "sw_power_cap",   "hw_slowdown",   "sync_boost",
      "sw_thermal", "hw_thermal",         "hw_power_brake", "display_clocks"};
  unsigned long long bits = 0;
  std::vector<std::string> reasons;
  if (!ask<Reasons>("nvmlDeviceGetCurrentClocksEventReasons", device, &bits) &&
      !ask<Reasons>("nvmlDeviceGetCurrentClocksThrottleReasons", device, &bits))
    return reasons;
  for (std::size_t bit = 1; bit < names.size(); ++bit)
    if ((bits >> bit & 1) != 0) reasons.emplace_back(names[bit]);
  return reasons;
}

std::vector<MemoryHolder> memory_holders(const std::string& bus_id) {
  const auto session = Session::open_if_there();
  Device* const device = session ? session->device(bus_id) : nullptr;
  if (device == nullptr) return {};
  std::vector<ProcessInfo> found(64);
  auto size = static_cast<unsigned>(found.size());
  if (!session->ask<Processes>("nvmlDeviceGetComputeRunningProcesses_v3", device, &size, found.data()))
    return {};
  found.resize(std::min<std::size_t>(size, found.size()));
  std::vector<MemoryHolder> holders;
  for (const auto& process : found) {
    std::string name = "a process";
    std::ifstream comm("/proc/" + std::to_string(process.pid) + "/comm");
    if (std::string line; std::getline(comm, line)) name = line;
    // The driver writes all ones where it does not know.
    const bool is_known = process.used_bytes != ~0ULL;
    holders.push_back({process.pid, name, is_known ? process.used_bytes : 0});
  }
  std::ranges::sort(holders, std::ranges::greater{}, &MemoryHolder::bytes);
  return holders;
}

}  // namespace stepvideo::nvml
