// A GPU that is at work for a time.
#pragma once
#include <stepvideo/core/launch.cuh>

namespace stepvideo::testing {

struct BusyParams {
  long long nanoseconds;
};
template <class Params>
__global__ void busy_kernel(Params params) {
  const auto now = [] {
    unsigned long long time;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
    return static_cast<long long>(time);
  };
  for (const long long begin = now(); now() - begin < params.nanoseconds;) continue;
}

/// Keeps the stream busy for so long; ends by itself.
inline void keep_busy(Device device, long long nanoseconds) {
  launch({.grid = 1, .block = 1, .stream = device.stream}, busy_kernel<BusyParams>, BusyParams{nanoseconds});
}

}  // namespace stepvideo::testing
