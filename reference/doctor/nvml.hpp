// The part of NVIDIA's management library that doctor calls, declared here so that a build needs no header of
// it. Signatures and constants: NVML API reference, docs.nvidia.com/deploy/nvml-api; its C ABI is kept stable
// by version suffixes. Every function returns 0 on success.
#pragma once

namespace stepvideo::doctor::nvml {

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
inline constexpr unsigned most_nvlinks = 18;

}  // namespace stepvideo::doctor::nvml
