// Environment variables: those that change a run, and those that people set in vain.
#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "doctor/checks.hpp"

namespace stepvideo::doctor {
namespace {

/// What to say about one variable; nothing where its value is harmless.
struct Remark {
  Verdict verdict;
  std::string wanted;
};

Remark in_vain(const std::string& why) {
  return {Verdict::ok, fmt::format("set in vain: {}", why)};
}

std::optional<int> number_in(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

/// Whether a switch is on: "1", "true", but neither "" nor "0".
bool is_on(const std::string& value) {
  return !value.empty() && value != "0" && value != "false" && value != "FALSE";
}

/// The names that NCCL 2.28.9 reads, without NCCL_: those in its library's strings. It passes over any other
/// without a word.
bool is_known_to_nccl(std::string_view name) {
  static constexpr std::string_view names =
      " ALGO ALLOC_P2P_NET_LL_BUFFERS BUFFSIZE CGA_CLUSTER_SIZE CHECK_POINTERS CHUNK_SIZE COLLNET_ENABLE "
      "COLLNET_NODE_THRESHOLD COMM_BLOCKING COMM_ID COMM_SHRINK_SHARE_RESOURCES COMM_SPLIT_SHARE_RESOURCES "
      "CONF_FILE CONNECT_ROUND_MAX_PEERS CREATE_THREAD_CONTEXT CROSS_NIC CTA_POLICY CUMEM_ENABLE "
      "CUMEM_HOST_ENABLE DEBUG DEBUG_FILE DEBUG_SUBSYS DEBUG_TIMESTAMP_FORMAT DEBUG_TIMESTAMP_LEVELS "
      "DMABUF_ENABLE ENV_PLUGIN GDRCOPY_ENABLE GDRCOPY_FIFO_ENABLE GDRCOPY_FLUSH_ENABLE GDRCOPY_SYNC_ENABLE "
      "GDR_FLUSH_DISABLE GIN_ENABLE GIN_TYPE GRAPH_DUMP_FILE GRAPH_DUMP_FILE_RANK GRAPH_FILE "
      "GRAPH_HELPER_DISABLE GRAPH_MIXING_SUPPORT GRAPH_REGISTER GROUP_CUDA_STREAM HOSTID "
      "IB_ADAPTIVE_ROUTING IB_ADDR_FAMILY IB_ADDR_RANGE IB_AR_THRESHOLD IB_DATA_DIRECT IB_DISABLE "
      "IB_ECE_ENABLE IB_FIFO_TC IB_GID_INDEX IB_HCA IB_MERGE_NICS IB_MERGE_VFS IB_MQP_RETRY_ALL "
      "IB_MQP_RETRY_CNT IB_MQP_RETRY_SLEEP_MSEC IB_PCI_RELAXED_ORDERING IB_PKEY IB_QPS_PER_CONNECTION "
      "IB_RETRY_CNT IB_RETURN_ASYNC_EVENTS IB_ROCE_VERSION_NUM IB_ROUTABLE_FLID_GID_INDEX IB_SL "
      "IB_SPLIT_DATA_ON_QPS IB_TC IB_TIMEOUT IB_USE_INLINE IB_WARN_RAIL_LOCAL IGNORE_CPU_AFFINITY "
      "IGNORE_DISABLED_P2P L1_SHARED_MEMORY_CARVEOUT LAUNCH_MODE LAUNCH_ORDER_IMPLICIT LAUNCH_RACE_FATAL "
      "LEGACY_CUDA_REGISTER LL128_BUFFSIZE LL128_C2C LL128_NTHREADS LL_BUFFSIZE LOCAL_REGISTER MAX_CTAS "
      "MAX_NCHANNELS MAX_NRINGS MAX_P2P_NCHANNELS MEM_SYNC_DOMAIN MIN_CTAS MIN_NCHANNELS MIN_NRINGS "
      "MIN_P2P_NCHANNELS MNNVL_CLIQUE_ID MNNVL_ENABLE MNNVL_UUID NCHANNELS_PER_NET_PEER NET NETDEVS_POLICY "
      "NET_DISABLE_INTRA NET_FORCE_FLUSH NET_FORCE_MERGE NET_GDR_C2C NET_GDR_LEVEL NET_GDR_READ "
      "NET_MERGE_LEVEL NET_OVERHEAD NET_PLUGIN NET_SHARED_BUFFERS NET_SHARED_COMMS NSOCKS_PERTHREAD NTHREADS "
      "NVB_DISABLE NVB_PRECONNECT NVLSTREE_MAX_CHUNKSIZE NVLS_CHUNKSIZE NVLS_ENABLE NVLS_NCHANNELS "
      "NVTX_DISABLE OOB_NET_ENABLE OOB_NET_IFNAME P2P_DIRECT_DISABLE P2P_DISABLE P2P_LEVEL P2P_LL_THRESHOLD "
      "P2P_NET_CHUNKSIZE P2P_NVL_CHUNKSIZE P2P_PCI_CHUNKSIZE P2P_PXN_LEVEL P2P_READ_ENABLE "
      "P2P_USE_CUDA_MEMCPY PAT_ENABLE PROFILER_PLUGIN PROGRESS_APPENDOP_FREQ PROTO PROXY_APPEND_BATCH_SIZE "
      "PROXY_CPUSET PROXY_DUMP_SIGNAL PXN_C2C PXN_DISABLE RAS_ADDR RAS_ENABLE RAS_TIMEOUT_FACTOR "
      "REPORT_CONNECT_PROGRESS RUNTIME_CONNECT SET_CPU_STACK_SIZE SET_STACK_SIZE SET_THREAD_NAME "
      "SHM_DISABLE SHM_LOCALITY SHM_MEMCPY_MODE SHM_USE_CUDA_MEMCPY SINGLE_PROC_MEM_REG_ENABLE "
      "SOCKET_FAMILY SOCKET_IFNAME SOCKET_INLINE SOCKET_MIN_TASKSIZE SOCKET_NTHREADS SOCKET_RCVBUF "
      "SOCKET_RETRY_CNT SOCKET_RETRY_SLEEP_MSEC SOCKET_SNDBUF SYM_CTAS SYM_KERNEL THREAD_THRESHOLDS "
      "TOPO_DUMP_FILE TOPO_DUMP_FILE_RANK TOPO_FILE TUNER_PLUGIN UID_STAGGER_RATE UID_STAGGER_THRESHOLD "
      "WARN_ENABLE_DEBUG_INFO WIN_ENABLE WIN_STRIDE WORK_ARGS_BYTES WORK_FIFO_BYTES ";
  return names.find(fmt::format(" {} ", name)) != names.npos;
}

/// NCCL_SOCKET_IFNAME: prefixes with commas between; '=' asks for the whole name, '^' excludes.
bool some_interface_matches(std::string_view value, const std::vector<std::string>& interfaces) {
  const bool excludes = value.starts_with('^');
  if (excludes) value.remove_prefix(1);
  const bool is_exact = value.starts_with('=');
  if (is_exact) value.remove_prefix(1);
  std::vector<std::string_view> names;
  for (std::string_view rest = value; !rest.empty();
       rest.remove_prefix(std::min(rest.size(), names.back().size() + 1)))
    names.push_back(rest.substr(0, rest.find(',')));
  return std::ranges::any_of(interfaces, [&](const std::string& interface) {
    const bool is_named = std::ranges::any_of(names, [&](std::string_view name) {
      return is_exact ? interface == name : std::string_view(interface).starts_with(name);
    });
    return is_named != excludes && (interface != "lo" || is_named);
  });
}

std::optional<Remark> remark_on_nccl(const Case& subject, std::string_view name, const std::string& value) {
  if (name == "BUFFSIZE")
    return in_vain("it sizes the channels' buffers and lifts no timeout; a timeout is a late or lost rank");
  if (name == "TIMEOUT" || name == "BLOCKING_WAIT" || name == "ASYNC_ERROR_HANDLING")
    return in_vain("NCCL reads no such variable and has no operation timeout; PyTorch alone had these");
  if (!is_known_to_nccl(name))
    return in_vain("NCCL reads no such variable (as of 2.28.9), and does not say so");
  if (subject.gpus < 2) return {};
  if (name == "P2P_DISABLE" && is_on(value))
    return Remark{Verdict::warning, "unset: GPUs talk through host memory, not over NVLink"};
  if (name == "P2P_LEVEL" && (value == "LOC" || value == "0"))
    return Remark{Verdict::warning, "unset: GPUs talk through host memory, not over NVLink"};
  if (name == "SHM_DISABLE" && is_on(value))
    return Remark{Verdict::warning, "unset: pairs without peer access go over the network's sockets"};
  if (name == "ALGO" || name == "PROTO" || name.ends_with("_NCHANNELS") || name == "NTHREADS")
    return Remark{Verdict::warning, "unset: it overrules NCCL's own choice for every size"};
  if (name == "SOCKET_IFNAME" && !some_interface_matches(value, subject.machine.host.network_interfaces))
    return Remark{Verdict::unfit, "the name of a network interface of this machine; ranks cannot meet"};
  if (name == "COMM_ID" && value.find(':') == value.npos)
    return Remark{Verdict::unfit, "host:port; ranks cannot meet"};
  if (name == "DEBUG" && (value == "TRACE" || value == "INFO"))
    return Remark{Verdict::ok, "every rank logs much; WARN tells errors"};
  return Remark{Verdict::ok, "read by NCCL"};
}

std::optional<Remark> remark_on_cuda(const Case& subject, const std::string& name, const std::string& value) {
  if (name == "CUDA_VISIBLE_DEVICES")
    return Remark{Verdict::ok, "ranks see these GPUs only, counted anew from 0"};
  if (subject.gpus == 0) return {};
  if (name == "CUDA_LAUNCH_BLOCKING" && is_on(value))
    return Remark{Verdict::warning, "unset: the host waits for every kernel; nothing overlaps"};
  if (name == "CUDA_FORCE_PTX_JIT" && is_on(value))
    return Remark{Verdict::unfit, "unset: this program carries no PTX to compile"};
  if (name == "CUDA_DEVICE_MAX_CONNECTIONS" && number_in(value).value_or(8) < 2)
    return Remark{Verdict::warning, "unset: with one queue communication waits behind compute"};
  if (name == "CUDA_MODULE_LOADING" && value == "EAGER")
    return Remark{Verdict::ok, "LAZY starts sooner: EAGER loads every kernel first"};
  if (name == "CUDA_HOME" || name == "CUDA_PATH" || name == "CUDA_VERSION" || name == "CUDA_ROOT")
    return {};  // for building; images set them
  return Remark{Verdict::ok, "read by CUDA"};
}

std::optional<Remark> remark_on_threads(const Case& subject, const std::string& name,
                                        const std::string& value) {
  const int cores = subject.machine.host.cores;
  if (name == "OMP_NUM_THREADS") {
    const int threads = number_in(value.substr(0, value.find(','))).value_or(0);
    if (threads <= 0) return Remark{Verdict::warning, "a positive number"};
    if (threads > cores)
      return Remark{Verdict::warning,
                    fmt::format("at most {}: more threads than cores wait for each other", cores)};
    if (subject.is_on_cpu() && threads < cores)
      return Remark{threads == 1 ? Verdict::warning : Verdict::ok,
                    fmt::format("{}: models run on the CPU, and cores stay idle", cores)};
    return Remark{Verdict::ok, "threads of the CPU kernels"};
  }
  if (name == "OMP_WAIT_POLICY" && (value == "active" || value == "ACTIVE"))
    return Remark{subject.gpus > 1 ? Verdict::warning : Verdict::ok,
                  "passive: waiting threads take cores from ranks beside them"};
  if ((name == "OMP_PROC_BIND" || name == "OMP_PLACES" || name == "GOMP_CPU_AFFINITY") && subject.gpus > 1)
    return Remark{Verdict::warning, "unset, or by rank: all ranks bind to the same cores"};
  if (name == "OPENBLAS_CORETYPE")
    return Remark{Verdict::warning,
                  "unset: matrix products are those of that processor, whatever this one could do"};
  if (name == "OMP_STACKSIZE" || name == "GOMP_STACKSIZE")
    return Remark{Verdict::ok, "read by OpenMP; below 2M the program takes 8M"};
  if (name.starts_with("MKL_")) return in_vain("matrix products come from OpenBLAS, not from MKL");
  if (name.starts_with("KMP_")) return in_vain("threads come from GNU's OpenMP, not from Intel's");
  return Remark{Verdict::ok, "read by OpenMP or OpenBLAS"};
}

std::optional<Remark> remark_on(const Case& subject, const std::string& name, const std::string& value) {
  if (name.starts_with("NCCL_")) return remark_on_nccl(subject, std::string_view(name).substr(5), value);
  if (name.starts_with("CUDA_")) return remark_on_cuda(subject, name, value);
  if (name == "TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC")
    return in_vain(
        "PyTorch's watchdog reads it, which is not here, and not even there does it lift the 10 minutes");
  if (name.starts_with("TORCH_") || name.starts_with("PYTORCH_"))
    return in_vain("PyTorch reads it, and this program does not use PyTorch");
  if (name.starts_with("CUBLAS")) return in_vain("no matrix product of this version runs through cuBLAS");
  if (name == "NVIDIA_TF32_OVERRIDE") return in_vain("no matrix product of this version runs through cuBLAS");
  if (name == "NVIDIA_VISIBLE_DEVICES") return {};  // for the container's start; images set it
  for (const char* prefix : {"OMP_", "GOMP_", "OPENBLAS_", "MKL_", "KMP_"})
    if (name.starts_with(prefix)) return remark_on_threads(subject, name, value);
  return {};
}

}  // namespace

Findings check_environment(const Case& subject) {
  constexpr std::size_t longest = 40;
  Findings findings;
  for (const auto& [name, value] : subject.machine.environment) {
    const auto remark = remark_on(subject, name, value);
    if (!remark) continue;
    const bool is_to_unset = remark->verdict != Verdict::ok || remark->wanted.starts_with("set in vain");
    findings.push_back({name, remark->verdict,
                        value.size() > longest ? fmt::format("{}...", value.substr(0, longest)) : value,
                        remark->wanted, is_to_unset ? fmt::format("unset {}", name) : std::string()});
  }
  return findings;
}

}  // namespace stepvideo::doctor
