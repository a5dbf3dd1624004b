#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "doctor/isolated.hpp"
#include "doctor/probe.hpp"
#include "io/extension.hpp"
#include "on_demand/nvml.hpp"

namespace stepvideo::doctor {
namespace {

using io::Json;
using nvml::Device, nvml::Session;

/// "0000:1b:00.0" from NVML's "00000000:1B:00.0" and CUDA's "0000:1b:00.0".
std::string plain_bus_id(std::string id) {
  id = io::lower_case(std::move(id));
  const auto colon = id.find(':');
  return colon != id.npos && colon > 4 ? id.substr(colon - 4) : id;
}

GpuFacts describe(const Session& session, Device* device) {
  GpuFacts gpu;
  std::array<char, 96> name{};
  if (session.ask<nvml::Text>("nvmlDeviceGetName", device, name.data(), unsigned{name.size()}))
    gpu.name = name.data();
  nvml::PciInfo pci{};
  if (session.ask<nvml::GetPciInfo>("nvmlDeviceGetPciInfo_v3", device, &pci))
    gpu.bus_id = plain_bus_id(pci.bus_id);
  if (int major = 0, minor = 0;
      session.ask<nvml::ComputeCapability>("nvmlDeviceGetCudaComputeCapability", device, &major, &minor))
    gpu.compute_capability = fmt::format("{}.{}", major, minor);
  if (const auto memory = session.memory(device)) {
    gpu.memory_bytes = memory->total;
    gpu.free_bytes = memory->free;
  }
  gpu.clock_mhz = session.number("nvmlDeviceGetClockInfo", device, nvml::clock_sm);
  gpu.most_clock_mhz = session.number("nvmlDeviceGetMaxClockInfo", device, nvml::clock_sm);
  gpu.temperature = session.number("nvmlDeviceGetTemperature", device, nvml::temperature_gpu);
  gpu.throttled_by = session.throttle_reasons(device);
  gpu.has_ecc = session.mode("nvmlDeviceGetEccMode", device);
  gpu.has_mig = session.mode("nvmlDeviceGetMigMode", device);
  if (const auto on = session.number("nvmlDeviceGetPersistenceMode", device)) gpu.is_persistent = *on != 0;
  unsigned corrected = 0, uncorrected = 0, pending = 0, failed = 0;
  if (session.ask<nvml::RemappedRows>("nvmlDeviceGetRemappedRows", device, &corrected, &uncorrected, &pending,
                                      &failed)) {
    gpu.needs_row_remap = pending != 0;
    gpu.failed_row_remap = failed != 0;
  }
  if (unsigned long long errors = 0; session.ask<nvml::EccErrors>(
          "nvmlDeviceGetTotalEccErrors", device, nvml::error_uncorrected, nvml::counter_volatile, &errors))
    gpu.uncorrected_errors = errors;
  if (const auto mode = session.number("nvmlDeviceGetComputeMode", device)) {
    static constexpr std::array names{"default", "exclusive_thread", "prohibited", "exclusive_process"};
    if (*mode < std::ssize(names)) gpu.compute_mode = names[static_cast<std::size_t>(*mode)];
  }
  int links = 0;
  bool has_links = false;
  for (unsigned link = 0; link < nvml::most_nvlinks; ++link) {
    unsigned is_up = 0;
    if (!session.ask<nvml::LinkState>("nvmlDeviceGetNvLinkState", device, link, &is_up)) continue;
    has_links = true;
    links += is_up != 0 ? 1 : 0;
  }
  if (has_links) gpu.nvlinks = links;
  gpu.pcie_generation = session.number("nvmlDeviceGetCurrPcieLinkGeneration", device);
  gpu.pcie_width = session.number("nvmlDeviceGetCurrPcieLinkWidth", device);
  gpu.most_pcie_width = session.number("nvmlDeviceGetMaxPcieLinkWidth", device);
  return gpu;
}

std::string link_kind(const Session& session, Device* from, Device* to) {
  unsigned status = 1;
  if (session.ask<nvml::P2PStatus>("nvmlDeviceGetP2PStatus", from, to, nvml::p2p_nvlink, &status) &&
      status == 0)
    return "nvlink";
  unsigned level = 0;
  if (!session.ask<nvml::CommonAncestor>("nvmlDeviceGetTopologyCommonAncestor", from, to, &level))
    return "unknown";
  // nvmlGpuTopologyLevel_t counts in tens, from two GPUs of one board.
  static constexpr std::array names{"pix", "pix", "pxb", "phb", "node", "sys"};
  return level / 10 < names.size() ? names[level / 10] : "unknown";
}

/// What NVML knows, as MachineFacts with nothing else in it.
Json ask_nvml() {
  MachineFacts facts;
  facts.host.cores = 1;
  try {
    const Session session;
    std::array<char, 80> version{};
    if (session.ask<nvml::SystemText>("nvmlSystemGetDriverVersion", version.data(), unsigned{version.size()}))
      facts.driver.version = version.data();
    if (int cuda = 0; session.ask<nvml::SystemNumber>("nvmlSystemGetCudaDriverVersion_v2", &cuda))
      facts.driver.cuda = fmt::format("{}.{}", cuda / 1000, cuda % 1000 / 10);
    unsigned count = 0;
    session.ask<nvml::Count>("nvmlDeviceGetCount_v2", &count);
    std::vector<Device*> devices;
    for (unsigned index = 0; index < count; ++index) {
      Device* device = nullptr;
      if (session.ask<nvml::HandleByIndex>("nvmlDeviceGetHandleByIndex_v2", index, &device))
        devices.push_back(device);
      else
        facts.driver.problems.push_back(fmt::format("NVML has lost GPU {}", index));
    }
    for (Device* const device : devices) facts.gpus.push_back(describe(session, device));
    for (std::size_t i = 0; i < devices.size(); ++i)
      for (std::size_t j = i + 1; j < devices.size(); ++j)
        facts.links.push_back({.from = static_cast<int>(i),
                               .to = static_cast<int>(j),
                               .kind = link_kind(session, devices[i], devices[j]),
                               .peer_access = {}});
  } catch (const Error& error) {
    facts.driver.problems.emplace_back(error.what());
  }
  return to_json(facts);
}

/// {"cuda", "init_error", "bus_ids", "peers": matrix} or {"problem"}. Signatures: CUDA driver API reference,
/// docs.nvidia.com/cuda/cuda-driver-api; a CUdevice is an int, every function returns 0 on success.
Json ask_cuda() {
  Json answer = Json::object();
  try {
    const SharedLibrary cuda("libcuda.so.1");
    if (int version = 0; cuda.get<int(int*)>("cuDriverGetVersion")(&version) == 0)
      answer["cuda"] = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
    const int error = cuda.get<int(unsigned)>("cuInit")(0);
    answer["init_error"] = error;
    int count = 0;
    if (error != 0 || cuda.get<int(int*)>("cuDeviceGetCount")(&count) != 0) return answer;
    answer["bus_ids"] = answer["peers"] = Json::array();
    for (int device = 0; device < count; ++device) {
      std::array<char, 32> bus_id{};
      cuda.get<int(char*, int, int)>("cuDeviceGetPCIBusId")(bus_id.data(), int{bus_id.size()}, device);
      answer["bus_ids"].push_back(plain_bus_id(bus_id.data()));
      Json row = Json::array();
      for (int peer = 0; peer < count; ++peer) {
        int can = 0;
        if (peer != device) cuda.get<int(int*, int, int)>("cuDeviceCanAccessPeer")(&can, device, peer);
        row.push_back(can != 0);
      }
      answer["peers"].push_back(row);
    }
  } catch (const Error& error) {
    answer["problem"] = error.what();
  }
  return answer;
}

void add_what_cuda_says(const Json& answer, MachineFacts& facts) {
  if (answer.contains("problem")) facts.driver.problems.push_back(answer.at("problem").get<std::string>());
  if (answer.contains("cuda")) facts.driver.cuda = answer.at("cuda").get<std::string>();
  if (answer.contains("init_error")) facts.driver.init_error = answer.at("init_error").get<int>();
  if (!answer.contains("bus_ids")) return;
  const auto visible = answer.at("bus_ids").get<std::vector<std::string>>();
  const auto peers = answer.at("peers").get<std::vector<std::vector<bool>>>();
  const auto place = [&](int gpu) {
    return std::ranges::find(visible, facts.gpus[static_cast<std::size_t>(gpu)].bus_id) - visible.begin();
  };
  for (std::size_t i = 0; i < facts.gpus.size(); ++i)
    facts.gpus[i].is_visible = place(static_cast<int>(i)) < std::ssize(visible);
  for (auto& link : facts.links) {
    const auto from = static_cast<std::size_t>(place(link.from));
    const auto to = static_cast<std::size_t>(place(link.to));
    if (from < visible.size() && to < visible.size()) link.peer_access = peers[from][to] && peers[to][from];
  }
}

}  // namespace

void probe_gpus(MachineFacts& facts) {
  // cuInit wakes every GPU: seconds each without persistence mode.
  constexpr std::chrono::seconds deadline(30);
  IsolatedWork nvml_work(ask_nvml, deadline), cuda_work(ask_cuda, deadline);
  if (auto [answer, problem] = nvml_work.await(); problem.empty()) {
    MachineFacts found = machine_facts(answer, "NVML");
    facts.driver = std::move(found.driver);
    facts.gpus = std::move(found.gpus);
    facts.links = std::move(found.links);
  } else {
    facts.driver.problems.push_back("libnvidia-ml.so.1 " + problem);
  }
  if (const auto [answer, problem] = cuda_work.await(); problem.empty())
    add_what_cuda_says(answer, facts);
  else
    facts.driver.problems.push_back("libcuda.so.1 " + problem);
}

}  // namespace stepvideo::doctor
