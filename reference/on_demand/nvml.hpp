// NVIDIA's management library, opened where it is there, and the part of it that is called here, declared so
// that a build needs no header of it. Signatures and constants: NVML API reference,
// docs.nvidia.com/deploy/nvml-api; its C ABI is kept stable by version suffixes. Every function returns 0 on
// success.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <stepvideo/core/shared_library.hpp>

namespace stepvideo::nvml {

struct Device;  ///< nvmlDevice_t is a pointer to something opaque

struct Memory {  ///< nvmlMemory_t, bytes
  unsigned long long total, free, used;
};
struct PciInfo {  ///< nvmlPciInfo_t, as nvmlDeviceGetPciInfo_v3 fills it
  char legacy_bus_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

struct ProcessInfo {  ///< nvmlProcessInfo_t of version 3
  unsigned pid;
  unsigned long long used_bytes;
  unsigned instance, compute_instance;
};

struct FieldValue {  ///< nvmlFieldValue_t
  unsigned field, scope;
  long long timestamp, latency;
  int type, status;
  union {
    unsigned as_unsigned;
    unsigned long long as_bits;
  } value;
};

using Init = int();                                             // nvmlInit_v2
using ErrorString = const char*(int);                           // nvmlErrorString
using SystemText = int(char*, unsigned);                        // nvmlSystemGetDriverVersion
using SystemNumber = int(int*);                                 // nvmlSystemGetCudaDriverVersion_v2
using Count = int(unsigned*);                                   // nvmlDeviceGetCount_v2
using HandleByIndex = int(unsigned, Device**);                  // nvmlDeviceGetHandleByIndex_v2
using HandleByText = int(const char*, Device**);                // nvmlDeviceGetHandleByPciBusId_v2
using Processes = int(Device*, unsigned*, ProcessInfo*);        // nvmlDeviceGetComputeRunningProcesses_v3
using Text = int(Device*, char*, unsigned);                     // nvmlDeviceGetName
using GetPciInfo = int(Device*, PciInfo*);                      // nvmlDeviceGetPciInfo_v3
using GetMemory = int(Device*, Memory*);                        // nvmlDeviceGetMemoryInfo
using GetFields = int(Device*, int, FieldValue*);               // nvmlDeviceGetFieldValues
using ComputeCapability = int(Device*, int*, int*);             // nvmlDeviceGetCudaComputeCapability
using KindNumber = int(Device*, int, unsigned*);                // ...GetClockInfo, ...GetTemperature
using Number = int(Device*, unsigned*);                         // ...GetPersistenceMode, ...GetComputeMode
using Modes = int(Device*, unsigned*, unsigned*);               // ...GetEccMode, ...GetMigMode
using Reasons = int(Device*, unsigned long long*);              // ...GetCurrentClocksThrottleReasons
using EccErrors = int(Device*, int, int, unsigned long long*);  // nvmlDeviceGetTotalEccErrors
using RemappedRows = int(Device*, unsigned*, unsigned*, unsigned*, unsigned*);
using LinkState = int(Device*, unsigned, unsigned*);      // nvmlDeviceGetNvLinkState
using CommonAncestor = int(Device*, Device*, unsigned*);  // nvmlDeviceGetTopologyCommonAncestor
using P2PStatus = int(Device*, Device*, int, unsigned*);  // nvmlDeviceGetP2PStatus

inline constexpr int clock_sm = 1, temperature_gpu = 0, error_uncorrected = 1, counter_volatile = 0;
inline constexpr int p2p_nvlink = 2;
inline constexpr unsigned most_nvlinks = 18, field_power_instant = 186;

/// The library, ready to be asked; what the driver or the GPU does not support stays without a value.
class Session {
 public:
  /// Throws Error with the reason where there is no library or no driver behind it.
  Session();
  /// Nothing instead.
  static std::optional<Session> open_if_there();

  /// The GPU at a PCI bus id as CUDA tells it; null where NVML has none.
  Device* device(const std::string& bus_id) const;

  /// Whether `name` exists and answers with success.
  template <class Function, class... Arguments>
  bool ask(const char* name, Arguments... arguments) const {
    auto* const function = library_.find<Function>(name);
    return function != nullptr && function(arguments...) == 0;
  }
  std::optional<int> number(const char* name, Device* device) const;
  std::optional<int> number(const char* name, Device* device, int kind) const;
  std::optional<bool> mode(const char* name, Device* device) const;

  std::optional<Memory> memory(Device* device) const;
  /// Of this moment; nvmlDeviceGetPowerUsage would be the mean of the last second.
  std::optional<double> power_watts(Device* device) const;
  /// What holds the clocks back now, by the names of nvmlClocksEventReason*: "sw_power_cap", "hw_thermal".
  std::vector<std::string> throttle_reasons(Device* device) const;

 private:
  SharedLibrary library_;
};

/// A process that holds memory of a GPU.
struct MemoryHolder {
  unsigned process = 0;
  std::string name;
  std::uint64_t bytes = 0;
};

/// Those who hold memory of the GPU at that bus id, the largest first; empty where the driver does not tell.
std::vector<MemoryHolder> memory_holders(const std::string& bus_id);

}  // namespace stepvideo::nvml
