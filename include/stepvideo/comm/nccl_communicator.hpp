// NCCL's communicators: who owns one and who uses it.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include <nccl.h>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/exchange_communicator.hpp>
#include <stepvideo/comm/nccl_library.hpp>

namespace stepvideo {

/// A group's communicator that somebody else owns. Its calls throw Error, with NCCL's words, where they fail;
/// those that move data end with an NcclBatch or, alone, with the next wait for is_ready().
class NcclCommunicatorRef {
 public:
  /// The library outlives this.
  NcclCommunicatorRef(const NcclLibrary& library, const Group& group, ncclComm_t handle)
      : library_(&library), group_(group), handle_(handle) {}

  const Group& group() const { return group_; }
  ncclComm_t get() const { return handle_; }

  /// What NCCL answered to `call`.
  void check(ncclResult_t result, std::string_view call) const {
    library_->check(result, call, to_string(group_), handle_);
  }
  /// Whether what was begun has been given to the GPU, or has ended. Throws Error where something that was
  /// given can never end.
  bool is_ready(std::string_view call) const {
    ncclResult_t state = ncclSuccess;
    check(library_->functions().get_async_error(handle_, &state), call);
    check(state, call);
    return state == ncclSuccess;
  }

  void send(const SentRun& run, int member, cudaStream_t stream) const {
    check(library_->functions().send(run.data, run.bytes, ncclUint8, member, handle_, stream), "ncclSend");
  }
  void receive(const ReceivedRun& run, int member, cudaStream_t stream) const {
    check(library_->functions().receive(run.data, run.bytes, ncclUint8, member, handle_, stream), "ncclRecv");
  }
  /// Where the library has it: `run_bytes` to each member and from each, itself among them.
  void all_to_all(const void* send, void* receive, std::size_t run_bytes, cudaStream_t stream) const {
    check(library_->functions().all_to_all(send, receive, run_bytes, ncclUint8, handle_, stream),
          "ncclAlltoAll");
  }
  void finalize() const { check(library_->functions().finalize(handle_), "ncclCommFinalize"); }

 private:
  const NcclLibrary* library_;
  Group group_;
  ncclComm_t handle_;
};

/// Owns a group's communicator, and aborts it at its end unless it was destroyed or given away.
class NcclCommunicator {
 public:
  /// The library outlives this, which has no communicator yet.
  NcclCommunicator(const NcclLibrary& library, const Group& group) : library_(&library), group_(group) {}
  NcclCommunicator(NcclCommunicator&& other) noexcept
      : library_(other.library_), group_(other.group_), handle_(other.release()) {}
  ~NcclCommunicator() {
    if (handle_ != nullptr) library_->functions().abort(release());
  }

  const Group& group() const { return group_; }
  NcclCommunicatorRef ref() const { return {*library_, group_, handle_}; }

  /// Begins to make it, on the calling thread's current GPU; it is made when ref().is_ready(). `id` is what
  /// ncclGetUniqueId gave one of the members. With `ctas` its kernels have that many thread blocks, as far as
  /// NCCL finds use for them; 0 leaves that to NCCL.
  void begin(const ncclUniqueId& id, int member, int ctas) {
    // A library older or newer than nccl.h takes from it what both know: since 2.17 it looks at the
    // structure's size and version.
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (ctas > 0) config.minCTAs = config.maxCTAs = ctas;
    const ncclResult_t result =
        library_->functions().init_rank_config(&handle_, group_.size, id, member, &config);
    ref().check(result, "ncclCommInitRankConfig");
  }
  /// Ends it where ref().finalize() has ended.
  void destroy() {
    const NcclCommunicatorRef ended = ref();
    ended.check(library_->functions().destroy(release()), "ncclCommDestroy");
  }
  /// Gives it away.
  ncclComm_t release() { return std::exchange(handle_, nullptr); }

 private:
  const NcclLibrary* library_;
  Group group_;
  ncclComm_t handle_ = nullptr;
};

/// Calls that NCCL begins together when the batch ends.
class NcclBatch {
 public:
  explicit NcclBatch(const NcclLibrary& library) : library_(library) {
    library_.check(library_.functions().group_start(), "ncclGroupStart", "calls of this thread", nullptr);
  }
  NcclBatch(const NcclBatch&) = delete;
  NcclBatch& operator=(const NcclBatch&) = delete;
  /// Left by an exception: NCCL drops what it was given after the call that failed.
  ~NcclBatch() {
    if (is_open_) library_.functions().group_end();
  }
  ncclResult_t end() {
    is_open_ = false;
    return library_.functions().group_end();
  }

 private:
  const NcclLibrary& library_;
  bool is_open_ = true;
};

}  // namespace stepvideo
