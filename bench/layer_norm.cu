// layer_norm with all its terms, at the model's full size: the stream in float32 and in bf16, the result in
// bf16 and in fp8 with its scales.
#include <stepvideo/kernels/norm/layer_norm.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

namespace {

constexpr index_t tokens = 75'888, width = 6144, size = tokens * width;

template <class T>
TokensView<T> rows(T* data) {
  return TokensView<T>::dense(data, 1, tokens, width);
}

}  // namespace

void bench_layer_norm(Report& report) {
  const RandomSets<float> stream(size), scale(width), shift(width);
  const RandomSets<bf16> bf16_stream(size), weight(width), bias(width);
  const Buffer<bf16, Device> out(size);
  const Buffer<fp8_e4m3, Device> values(size);
  const Buffer<float, Device> scales(tokens);
  const LayerNormTerms<bf16> terms{weight.at(0).vector(), bias.at(0).vector(), scale.at(0).matrix(1, width),
                                   shift.at(0).matrix(1, width)};
  report.measure(
      {.name = "layer_norm, float to bf16, modulated, 75888 x 6144", .bytes = (4.0 + 2.0) * size},
      [&](int run) { layer_norm(device, rows(stream.at(run).data()), terms, 1e-5f, rows(out.data())); });
  report.measure(
      {.name = "layer_norm, bf16 to bf16, modulated, 75888 x 6144", .bytes = (2.0 + 2.0) * size},
      [&](int run) { layer_norm(device, rows(bf16_stream.at(run).data()), terms, 1e-5f, rows(out.data())); });
  report.measure({.name = "layer_norm, float to fp8 rows, modulated, 75888 x 6144",
                  .bytes = (4.0 + 1.0) * size + 4.0 * tokens},
                 [&](int run) {
                   layer_norm(device, rows(stream.at(run).data()), terms, 1e-5f,
                              ScaledTokensView{rows(values.data()), scales.vector()});
                 });
}

}  // namespace stepvideo::bench
