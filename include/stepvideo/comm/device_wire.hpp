// How bytes travel between the memories of GPUs.
#pragma once
#include <span>
#include <string>

#include <stepvideo/comm/exchange_communicator.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

/// One rank's end. For one thread at a time.
class DeviceWire {
 public:
  virtual ~DeviceWire() = default;

  /// "copies between GPUs", "NCCL 2.28.9"
  virtual std::string name() const = 0;

  /// As an Exchange's, by member: in the order of device.stream, and may return before anything has
  /// travelled. All members call it with runs that fit each other. A rank's own runs are empty, but where
  /// runs `are_even`: then all those of all members have one size and lie one behind the other. Throws
  /// Error, and RankLost where a member cannot come.
  virtual void exchange(Device device, const Group& group, std::span<const SentRun> sent,
                        std::span<const ReceivedRun> received, bool are_even) = 0;
  /// Throws Error where an exchange that was given cannot end. Does not wait.
  virtual void require_works() = 0;
  /// Called by all ranks together, behind a settled stream: what connects them is let go of, in order. The
  /// next exchange connects them again.
  virtual void finish() = 0;
  /// Nobody waits for this rank any longer, and nothing that was given has to end: after a failure, before
  /// the streams are waited for.
  virtual void abort() noexcept = 0;
};

}  // namespace stepvideo
