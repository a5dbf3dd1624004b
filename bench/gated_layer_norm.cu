// gated_residual_layer_norm with all its terms, at the model's full size: a stream in float32 and in bf16,
// the result in bf16 and in fp8 with its scales.
#include <stepvideo/kernels/norm/gated_layer_norm.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

namespace {

constexpr index_t tokens = 75'888, width = 6144, size = tokens * width;

template <class T>
TokensView<T> rows(T* data) {
  return TokensView<T>::dense(data, 1, tokens, width);
}

}  // namespace

void bench_gated_layer_norm(Report& report) {
  const RandomSets<float> stream(size), gate(width, 0.1f), scale(width), shift(width);
  const RandomSets<bf16> bf16_stream(size), delta(size), weight(width), bias(width);
  const Buffer<bf16, Device> out(size);
  const Buffer<fp8_e4m3, Device> values(size);
  const Buffer<float, Device> scales(tokens);
  const MatrixView<const float> gates = gate.at(0).matrix(1, width);
  const LayerNormTerms<bf16> terms{weight.at(0).vector(), bias.at(0).vector(), scale.at(0).matrix(1, width),
                                   shift.at(0).matrix(1, width)};
  const auto run_on = [&](const auto& streams, auto result) {
    return [&, result](int run) {
      gated_residual_layer_norm(device, rows(delta.at(run).data()), gates, rows(streams.at(run).data()),
                                terms, 1e-5f, result);
    };
  };
  report.measure({.name = "gated_residual_layer_norm, float stream, bf16 out, 75888 x 6144",
                  .bytes = (4.0 + 2.0 + 4.0 + 2.0) * size},
                 run_on(stream, rows(out.data())));
  report.measure({.name = "gated_residual_layer_norm, float stream, fp8 rows out, 75888 x 6144",
                  .bytes = (4.0 + 2.0 + 4.0 + 1.0) * size + 4.0 * tokens},
                 run_on(stream, ScaledTokensView{rows(values.data()), scales.vector()}));
  report.measure({.name = "gated_residual_layer_norm, bf16 stream, bf16 out, 75888 x 6144",
                  .bytes = (2.0 + 2.0 + 2.0 + 2.0) * size},
                 run_on(bf16_stream, rows(out.data())));
}

}  // namespace stepvideo::bench
