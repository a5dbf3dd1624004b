// What benches of models on a GPU share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include <cuda_runtime_api.h>

#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

namespace stepvideo::commands {

/// Normal values, one seed a buffer.
template <class T>
inline Buffer<T, Device> random_values(Device gpu, index_t size, float scale) {
  static std::uint64_t seed = 0;
  Buffer<T, Device> values(gpu, size);
  fill_normal(gpu, ++seed, 0, scale, values.vector());
  return values;
}

/// Milliseconds between neighbouring marks on one stream.
class Marks {
 public:
  explicit Marks(Device gpu) : stream_(gpu.stream) {}
  ~Marks() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;

  void mark() {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event));
    events_.push_back(event);
    check(cudaEventRecord(event, stream_));
  }
  std::vector<double> intervals() const {
    check(cudaEventSynchronize(events_.back()));
    std::vector<double> times;
    for (std::size_t i = 1; i < events_.size(); ++i) {
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, events_[i - 1], events_[i]));
      times.push_back(milliseconds);
    }
    return times;
  }

 private:
  cudaStream_t stream_;
  std::vector<cudaEvent_t> events_;
};

inline double median_of(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace stepvideo::commands
