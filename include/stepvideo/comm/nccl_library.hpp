// NCCL as it is found at run time. Include it where nccl.h and the headers of CUDA are found; only the other
// comm/nccl_ headers include it. It calls nothing of CUDA's, and nothing has to be linked.
#pragma once
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <ifaddrs.h>
#include <nccl.h>
#include <netdb.h>
#include <netinet/in.h>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/shared_library.hpp>

namespace stepvideo {

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 22, 0),
              "this nccl.h is too old; that of NCCL 2.22 or later works");

/// ncclAlltoAll, which not every nccl.h has.
using NcclAllToAll = ncclResult_t(const void*, void*, std::size_t, ncclDataType_t, ncclComm_t, cudaStream_t);

/// What is called of NCCL, as the running library has it.
struct NcclFunctions {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetErrorString) get_error_string = nullptr;
  decltype(&ncclGetLastError) get_last_error = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRankConfig) init_rank_config = nullptr;
  decltype(&ncclCommFinalize) finalize = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclCommGetAsyncError) get_async_error = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) receive = nullptr;
  NcclAllToAll* all_to_all = nullptr;  ///< since 2.28; null where the library has none
};

/// Which NCCL is opened, and what it reads from the environment when its first communicator is made.
struct NcclChoice {
  /// Of the library. Empty: what the program is linked with, else libnccl.so.2 where the loader finds it.
  std::string path;
  /// NCCL_BUFFSIZE, a power of two from 64 KiB to 1 GiB; over that of the environment. 0: the environment's,
  /// or NCCL's 4 MiB. A peer has a buffer for each channel between the two, and what is sent moves in eighths
  /// of it, 512 KiB at most over NVLink and 128 KiB over PCIe and network unless the environment's
  /// NCCL_P2P_..._CHUNKSIZE say otherwise: less saves memory, more alone takes it and gains nothing.
  std::size_t buffer_bytes = 0;
  /// Of this host, as numbers, by which the job's other ranks reach it: NCCL's own sockets listen at its
  /// interface (NCCL_SOCKET_IFNAME) unless the environment names one, so with 127.0.0.1 at none that another
  /// host can reach. Empty: at NCCL's choice of interface.
  std::string address{};
};

/// A running NCCL. Copies are the same one; it stays loaded until the process ends. For any thread.
class NcclLibrary {
 public:
  /// The first in which a group ends several communicators at once, so that none waits for another's kernels.
  static constexpr int oldest_version = NCCL_VERSION(2, 22, 0);

  /// Before other threads read the environment, as ranks that are threads do, and before any other use of
  /// NCCL in this process: sets NCCL_BUFFSIZE and NCCL_SOCKET_IFNAME as the choice says, and
  /// NCCL_RAS_ENABLE=0 unless it is set, which keeps the port closed at which NCCL would tell anybody on this
  /// host about the job. Nothing else is changed: multicast over NVLink, for one, stays off under
  /// NCCL_NVLS_ENABLE=0. Throws RequestError for a choice or an environment that cannot work, and Error where
  /// NCCL is not found, too old, or lacks a function.
  static NcclLibrary open(const NcclChoice& choice = {}) {
    prepare_environment(choice);
    return NcclLibrary(found_at(choice.path));
  }

  /// As NCCL_VERSION counts: 22809 is 2.28.9.
  int version() const { return version_; }
  /// "NCCL 2.28.9"
  std::string name() const { return name_of(version_); }
  /// Where the loader found it; empty where the program is linked with it.
  const std::string& path() const { return path_; }
  const NcclFunctions& functions() const { return functions_; }

  /// "NCCL 2.28.9" of 22809, "NCCL 2.7.8" of 2708.
  static std::string name_of(int version) {
    const int unit = version < 10000 ? 1000 : 10000;
    return "NCCL " + std::to_string(version / unit) + "." + std::to_string(version % unit / 100) + "." +
           std::to_string(version % 100);
  }

  /// Throws Error unless `result` is ncclSuccess or ncclInProgress: "NCCL 2.28.9: ncclSend of ranks 0, 2:
  /// remote error: ...", with NCCL's words for the result and for its last error.
  void check(ncclResult_t result, std::string_view call, std::string_view where,
             ncclComm_t communicator) const {
    if (result == ncclSuccess || result == ncclInProgress) return;
    std::string text = name() + ": " + std::string(call) + " of " + std::string(where) + ": " +
                       functions_.get_error_string(result);
    if (const char* const last = functions_.get_last_error(communicator); last != nullptr && *last != '\0')
      text += std::string(": ") + last;
    for (char& letter : text)
      if (letter == '\n') letter = ' ';
    throw Error(text.substr(0, text.find_last_not_of(' ') + 1));
  }

 private:
  explicit NcclLibrary(const SharedLibrary& library) : path_(library.path()) {
    const std::string found = path_.empty() ? "the NCCL that this program is linked with" : path_;
    const auto take = [&]<class F>(F*& function, const char* name) {
      function = library.find<F>(name);
      if (function == nullptr)
        throw Error(found + (version_ > 0 ? " is " + this->name() + " and" : "") + " lacks " + name +
                    "; NCCL 2.22 or later works");
    };
    take(functions_.get_version, "ncclGetVersion");
    functions_.get_version(&version_);
    if (version_ < oldest_version)
      throw Error(found + " is " + name() +
                  ", which cannot end several communicators at once; NCCL 2.22 or later works");
    take(functions_.get_error_string, "ncclGetErrorString");
    take(functions_.get_last_error, "ncclGetLastError");
    take(functions_.get_unique_id, "ncclGetUniqueId");
    take(functions_.init_rank_config, "ncclCommInitRankConfig");
    take(functions_.finalize, "ncclCommFinalize");
    take(functions_.destroy, "ncclCommDestroy");
    take(functions_.abort, "ncclCommAbort");
    take(functions_.get_async_error, "ncclCommGetAsyncError");
    take(functions_.group_start, "ncclGroupStart");
    take(functions_.group_end, "ncclGroupEnd");
    take(functions_.send, "ncclSend");
    take(functions_.receive, "ncclRecv");
    functions_.all_to_all = library.find<NcclAllToAll>("ncclAlltoAll");
  }

  static SharedLibrary found_at(const std::string& path) {
    if (path.empty()) {
      const SharedLibrary process = SharedLibrary::of_process();
      if (process.find<int(int*)>("ncclGetVersion") != nullptr) return process;
    }
    try {
      return SharedLibrary(path.empty() ? "libnccl.so.2" : path);
    } catch (const Error& error) {
      throw Error("NCCL was not found (" + std::string(error.what()) +
                  "); NCCL 2.22 or later where the loader looks (LD_LIBRARY_PATH), or its path, works");
    }
  }

  static void prepare_environment(const NcclChoice& choice) {
    const std::size_t bytes = choice.buffer_bytes, least = std::size_t{64} << 10, most = std::size_t{1} << 30;
    require(bytes == 0 || (std::has_single_bit(bytes) && bytes >= least && bytes <= most), [&] {
      return "NCCL's buffers cannot have " + std::to_string(bytes) +
             " bytes; a power of two from 65536 to 1073741824 works";
    });
    const char* const blocking = std::getenv("NCCL_COMM_BLOCKING");
    require(blocking == nullptr || std::atoi(blocking) != 1,
            "NCCL_COMM_BLOCKING=1 would let this rank wait for ever for one that is lost; unset it");
    setenv("NCCL_RAS_ENABLE", "0", 0);
    if (bytes > 0) setenv("NCCL_BUFFSIZE", std::to_string(bytes).c_str(), 1);
    // '=' is NCCL's sign for the whole name.
    if (!choice.address.empty())
      setenv("NCCL_SOCKET_IFNAME", ("=" + interface_with(choice.address)).c_str(), 0);
  }

  static std::string interface_with(const std::string& address) {
    ifaddrs* all = nullptr;
    if (getifaddrs(&all) != 0) throw Error(std::string("the network interfaces: ") + std::strerror(errno));
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(all, freeifaddrs);
    for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
      if (each->ifa_addr == nullptr) continue;
      const int family = each->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      char numbers[NI_MAXHOST];
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (getnameinfo(each->ifa_addr, size, numbers, sizeof numbers, nullptr, 0, NI_NUMERICHOST) == 0 &&
          address == numbers)
        return each->ifa_name;
    }
    throw RequestError("no network interface of this host has the address " + address +
                       "; one that `ip address` shows works");
  }

  NcclFunctions functions_;
  int version_ = 0;
  std::string path_;
};

}  // namespace stepvideo
