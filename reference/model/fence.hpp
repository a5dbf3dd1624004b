// Between two orders of work of one execution: what one is given waits for what another was given, and for
// how long.
#pragma once
#include <chrono>
#include <concepts>

#include <stepvideo/core/execution.hpp>

namespace stepvideo::model {

/// The GPU's is in model/fence.cuh.
template <Execution E>
class Fence {
  static_assert(std::same_as<E, Host>, "a Device's Fence is in model/fence.cuh");

 public:
  // The host's work is done when it returns.
  void set(Host) {}
  void wait(Host) {}
  void finish() {}
};

/// Counts how long an execution waits between begin() and end(), which are given to it.
template <Execution E>
class Stalls {
  static_assert(std::same_as<E, Host>, "a Device's Stalls are in model/fence.cuh");

 public:
  void begin(Host) { begin_ = Clock::now(); }
  void end(Host) { seconds_ += std::chrono::duration<double>(Clock::now() - begin_).count(); }
  double seconds() { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin_;
  double seconds_ = 0;
};

/// Makes the execution's device the calling thread's.
inline auto device_binder(Host) {
  return [] {};
}

}  // namespace stepvideo::model
