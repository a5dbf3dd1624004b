// What a test asks of the library that stands in for NCCL: nccl_stand_in.cpp.
#pragma once
#include <string>
#include <vector>

namespace stepvideo::testing {

/// NCCL's functions for ranks that are threads of this process and whose memory is the host's. A call that
/// begins something answers ncclInProgress until it has been asked `polls` times, and nothing moves before
/// that; then data moves as soon as both sides have come. Streams are names.
class NcclStandIn {
 public:
  virtual ~NcclStandIn() = default;

  /// As after loading: 2.28.9, nothing in progress, nobody fails; forgets the calling thread's calls.
  virtual void reset() = 0;
  virtual void set_version(int version) = 0;
  virtual void set_polls(int polls) = 0;
  /// The calling thread's `calls`th send, receive or all-to-all from now on fails, as its communicator says
  /// when it is asked.
  virtual void fail_at(int calls) = 0;
  /// Every communicator there is has failed.
  virtual void fail_all() = 0;

  /// Whether all that was begun in the stream has ended; what is still in progress has not been begun.
  virtual bool is_done(void* stream) = 0;
  /// Communicators that were neither destroyed nor aborted.
  virtual int communicators() = 0;
  /// The calling thread's calls, in their order: "ncclSend to 2: 48".
  virtual std::vector<std::string> calls() = 0;
  /// What no user of NCCL may do, and was done.
  virtual std::vector<std::string> misuse() = 0;
};

/// The symbol by which a test finds it.
inline constexpr char nccl_stand_in_symbol[] = "nccl_stand_in";

}  // namespace stepvideo::testing
