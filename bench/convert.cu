// convert at the model's full size: what a matrix product reads of the residual stream, and an activation.
#include <stepvideo/kernels/elementwise/convert.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_convert(Report& report) {
  constexpr index_t tokens = 75'888, width = 6144, size = tokens * width;
  const auto measure = [&](const char* name, auto from, auto function) {
    using From = decltype(from);
    const RandomSets<From> in(size);
    const Buffer<bf16, Device> out(size);
    report.measure({.name = name, .bytes = (sizeof(From) + 2.0) * size}, [&](int run) {
      convert(device, TokensView<const From>::dense(in.at(run).data(), 1, tokens, width),
              TokensView<bf16>::dense(out.data(), 1, tokens, width), function);
    });
  };
  measure("convert, float to bf16, 75888 x 6144", float{}, Identity{});
  measure("convert, bf16 to bf16, SiLU, 75888 x 6144", bf16{}, Silu{});
}

}  // namespace stepvideo::bench
