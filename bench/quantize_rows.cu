// quantize_rows at the model's full size.
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_quantize_rows(Report& report) {
  constexpr index_t tokens = 75'888, width = 6144, size = tokens * width;
  const Buffer<fp8_e4m3, Device> values(size);
  const Buffer<float, Device> scales(tokens);
  const ScaledTokensView out{TokensView<fp8_e4m3>::dense(values.data(), 1, tokens, width), scales.vector()};
  const auto measure = [&]<class T>(const char* name, T) {
    const RandomSets<T> in(size);
    report.measure({.name = name, .bytes = (sizeof(T) + 1.0) * size + 4.0 * tokens}, [&](int run) {
      quantize_rows(device, TokensView<const T>::dense(in.at(run).data(), 1, tokens, width), out);
    });
  };
  measure("quantize_rows, bf16, 75888 x 6144", bf16{});
  measure("quantize_rows, float, 75888 x 6144", float{});
}

}  // namespace stepvideo::bench
