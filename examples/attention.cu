// The attention of attention.cpp on a GPU, in bf16: the same views and the same call, with a Device in front.
#include <cmath>
#include <cstdio>
#include <utility>

#include <stepvideo/core/device.cuh>
#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/attention/attention.cuh>

namespace sv = stepvideo;

int main() {
  int gpus = 0;
  if (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus == 0) {
    std::puts("skipped: this machine has no CUDA GPU");
    return 77;
  }
  constexpr sv::index_t tokens = 100, heads = 4, dim = 64, width = heads * dim;
  sv::Buffer<sv::bf16> host_packed(tokens * 3 * width);  // (tokens, 3, heads, dim)
  for (sv::index_t i = 0; i < host_packed.size(); ++i)
    host_packed[i] = sv::bf16(std::sin(0.37f * static_cast<float>(i)));

  const sv::Device device{};  // .stream is yours to set
  const sv::Buffer<sv::bf16, sv::Device> packed = sv::transfer(device, std::move(host_packed));
  const auto part = [&](sv::index_t index) {
    return sv::HeadsView<const sv::bf16>{.data = packed.data() + index * width,
                                         .batch = 1,
                                         .tokens = tokens,
                                         .heads = heads,
                                         .dim = dim,
                                         .batch_stride = tokens * 3 * width,
                                         .token_stride = 3 * width,
                                         .head_stride = dim};
  };
  const sv::Buffer<sv::bf16, sv::Device> result(device, tokens * width);  // (tokens, heads, dim)
  const auto out = sv::HeadsView<sv::bf16>::dense(result.data(), 1, tokens, heads, dim);
  sv::attention(device, part(0), part(1), part(2), sv::FullMask{}, out, {});

  const sv::Buffer<sv::bf16> host_result(result.size());
  sv::copy(device, result, host_result);
  sv::synchronize(device);
  const auto row = &host_result[(tokens * heads - 1) * dim];
  std::printf("last token, last head: %.6f %.6f %.6f %.6f\n", float(row[0]), float(row[1]), float(row[2]),
              float(row[3]));
}
