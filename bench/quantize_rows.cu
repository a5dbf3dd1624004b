// quantize_rows at the model's full size, and of its hidden layer's activations.
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_quantize_rows(Report& report) {
  const auto measure = [&]<class T>(const char* name, T, index_t tokens, index_t width, auto function) {
    const index_t size = tokens * width;
    const Buffer<fp8_e4m3, Device> values(size);
    const Buffer<float, Device> scales(tokens);
    const ScaledTokensView out{TokensView<fp8_e4m3>::dense(values.data(), 1, tokens, width), scales.vector()};
    const RandomSets<T> in(size);
    report.measure({.name = name, .bytes = (sizeof(T) + 1.0) * size + 4.0 * tokens}, [&](int run) {
      quantize_rows(device, TokensView<const T>::dense(in.at(run).data(), 1, tokens, width), out, function);
    });
  };
  measure("quantize_rows, bf16, 75888 x 6144", bf16{}, 75'888, 6144, Identity{});
  measure("quantize_rows, float, 75888 x 6144", float{}, 75'888, 6144, Identity{});
  measure("quantize_rows, bf16 with gelu, 25344 x 24576", bf16{}, 25'344, 24'576, GeluTanh{});
}

}  // namespace stepvideo::bench
