// The same for a GPU: normalises a row there, and says so where there is none.
#include <cstdio>
#include <utility>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/norm/rms_norm.cuh>

namespace sv = stepvideo;

int main() {
  int gpus = 0;
  if (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus == 0) {
    std::puts("no GPU");
    return 0;
  }
  sv::Buffer<float> row(4), ones(4);
  for (float& value : row) value = 3.0f;
  for (float& value : ones) value = 1.0f;
  const sv::Device device{};
  const auto in = sv::transfer(device, std::move(row)), weight = sv::transfer(device, std::move(ones));
  sv::rms_norm<float>(device, in.matrix(1, 4), weight.vector(), 0.0f, in.matrix(1, 4));
  const sv::Buffer<float> result(4);
  sv::copy(device, in, result);
  sv::synchronize(device);
  std::printf("%g %g %g %g\n", double(result[0]), double(result[1]), double(result[2]), double(result[3]));
}
