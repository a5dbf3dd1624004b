// A build without CUDA, or without the benches.
#include <stepvideo/core/error.hpp>

#include "commands/bench_device.hpp"

namespace stepvideo::commands {

bool can_bench_device() {
  return false;
}

void bench_device(const DeviceBenchRequest&) {
  throw RequestError(
      "--device cuda: this stepvideo was built without the GPU's benches (STEPVIDEO_CUDA=ON and "
      "STEPVIDEO_BENCH=ON build them); --device cpu works");
}

void bench_matmuls(const MatmulSearchRequest&) {
  throw RequestError(
      "bench linear: this stepvideo was built without the GPU's benches; STEPVIDEO_CUDA=ON and "
      "STEPVIDEO_BENCH=ON "
      "build them");
}

}  // namespace stepvideo::commands
