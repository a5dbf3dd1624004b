// Times on the device.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
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

/// run_times() after two runs for warming up, repeated as Report::measure() says.
inline std::vector<double> steady_times(const std::function<void()>& before,
                                        const std::function<void(int)>& call, double least_seconds) {
  constexpr int warm_up = 2;
  const double milliseconds = run_times(0, warm_up, before, call).front();
  const int runs =
      static_cast<int>(std::clamp(std::ceil(1e3 * least_seconds / std::max(milliseconds, 1e-3)), 5.0, 200.0));
  return run_times(warm_up, runs, before, call);
}

inline double median(const std::vector<double>& sorted) {
  return sorted[sorted.size() / 2];
}

}  // namespace stepvideo::bench
