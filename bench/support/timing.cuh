// Times on the device.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <iterator>
#include <thread>
#include <vector>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>

namespace stepvideo::bench {

/// A point in the default stream.
class Event {
 public:
  Event() { check(cudaEventCreate(&event_)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record() const { check(cudaEventRecord(event_)); }
  void wait() const { check(cudaEventSynchronize(event_)); }
  /// Milliseconds from `earlier` to this; waits for both.
  double since(const Event& earlier) const {
    wait();
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_));
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Sorted milliseconds of each of `runs` runs. All are enqueued before the first is waited for, so that the
/// device never waits for the host; `before` comes ahead of each run and is not timed.
inline std::vector<double> run_times(int first, int runs, const std::function<void()>& before,
                                     const std::function<void(int)>& call) {
  std::vector<Event> begin(static_cast<std::size_t>(runs)), end(static_cast<std::size_t>(runs));
  for (int run = 0; run < runs; ++run) {
    const auto i = static_cast<std::size_t>(run);
    before();
    begin[i].record();
    call(first + run);
    end[i].record();
  }
  std::vector<double> times;
  for (std::size_t i = 0; i < end.size(); ++i) times.push_back(end[i].since(begin[i]));
  std::ranges::sort(times);
  return times;
}

/// Work of less than `burst_ms` runs in bursts of that length with pauses between them: back to back for
/// longer it would heat the chip into its power limit, which shorter work on its own never meets. Longer work
/// does.
inline constexpr double burst_ms = 20, pause_ms = 80, bursts = 5;

/// run_times() after two runs for warming up, repeated as Report::measure() says.
inline std::vector<double> steady_times(const std::function<void()>& before,
                                        const std::function<void(int)>& call, double least_seconds) {
  constexpr int warm_up = 2;
  const double milliseconds = std::max(run_times(0, warm_up, before, call).front(), 1e-3);
  const bool is_short = milliseconds < burst_ms;
  const double least_ms = std::min(1e3 * least_seconds, is_short ? bursts * burst_ms : 1e9);
  const int runs = static_cast<int>(std::clamp(std::ceil(least_ms / milliseconds), 5.0, 200.0));
  const int at_once = is_short ? static_cast<int>(std::ceil(burst_ms / milliseconds)) : runs;
  std::vector<double> times;
  for (int run = 0; run < runs; run += at_once) {
    if (run > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(pause_ms));
    std::ranges::copy(run_times(warm_up + run, std::min(at_once, runs - run), before, call),
                      std::back_inserter(times));
  }
  std::ranges::sort(times);
  return times;
}

inline double median(const std::vector<double>& sorted) {
  return sorted[sorted.size() / 2];
}

}  // namespace stepvideo::bench
