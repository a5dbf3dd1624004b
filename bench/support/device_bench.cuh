// What a device bench needs. bench/NAME.cu defines one function, declared nowhere else:
//
//     #include <stepvideo/kernels/norm/layer_norm.cuh>
//     #include "support/device_bench.cuh"
//
//     namespace stepvideo::bench {
//     void bench_layer_norm(Report& report) {
//       constexpr index_t tokens = 75'888, width = 6144;
//       const RandomSets<bf16> in(tokens * width);
//       const RandomSets<bf16> weights(width);
//       const Buffer<bf16, Device> out(tokens * width);
//       report.measure({.name = "layer_norm, bf16, 75888 x 6144", .bytes = 2.0 * 2 * tokens * width},
//                      [&](int run) {
//                        layer_norm(device, in.at(run).matrix(tokens, width), ..., weights.at(0).vector(),
//                        ...);
//                      });
//     }
//     }  // namespace stepvideo::bench
//
// The build finds the file: it becomes the program bench_NAME (which measures it alone) and a part of
// `stepvideo bench kernels` (which measures all). The function must be called bench_NAME; it may measure as
// many rows as it likes. Row says what `bytes` and `flops` count; what a kernel prepares once for many calls
// (tables, packed weights, workspaces) is made outside the measured call.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "support/report.hpp"

namespace stepvideo::bench {

/// Buffers of normal values that take turns, so that no run finds its input in the cache: as many as make
/// 256 MB, at least 2 and at most 16.
template <class T>
class RandomSets {
 public:
  explicit RandomSets(index_t size, float deviation = 1) {
    const double bytes = static_cast<double>(size) * sizeof(T);
    const int count = static_cast<int>(std::clamp(256e6 / std::max(bytes, 1.0), 2.0, 16.0));
    static std::uint64_t seed = 0;
    for (int set = 0; set < count; ++set) {
      buffers_.emplace_back(size);
      fill_normal(device, ++seed, 0, deviation, buffers_.back().vector());
    }
  }
  /// The buffer of run `run`.
  const Buffer<T, Device>& at(int run) const {
    return buffers_[static_cast<std::size_t>(run) % buffers_.size()];
  }

 private:
  std::vector<Buffer<T, Device>> buffers_;
};

}  // namespace stepvideo::bench
