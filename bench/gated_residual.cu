// gated_residual at the model's full size: a float stream, a delta, and a result rounded to bf16 or to fp8
// rows.
#include <stepvideo/kernels/norm/gated_residual.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_gated_residual(Report& report) {
  constexpr index_t tokens = 75'888, width = 6144, size = tokens * width;
  const RandomSets<float> stream(size), gate(width, 0.1f);
  const RandomSets<bf16> delta(size);
  const Buffer<bf16, Device> out(size);
  const auto rows = [](auto* data) {
    return TokensView<std::remove_pointer_t<decltype(data)>>::dense(data, 1, tokens, width);
  };
  const MatrixView<const float> gates = gate.at(0).matrix(1, width);
  report.measure({.name = "gated_residual, float stream, bf16 out, 75888 x 6144",
                  .bytes = (4.0 + 2.0 + 4.0 + 2.0) * size},
                 [&](int run) {
                   gated_residual(device, rows(delta.at(run).data()), gates, rows(stream.at(run).data()),
                                  rows(out.data()));
                 });
  const Buffer<fp8_e4m3, Device> values(size);
  const Buffer<float, Device> scales(tokens);
  const ScaledTokensView scaled{rows(values.data()), scales.vector()};
  report.measure({.name = "gated_residual, float stream, fp8 rows out, 75888 x 6144",
                  .bytes = (4.0 + 2.0 + 4.0 + 1.0) * size + 4.0 * tokens},
                 [&](int run) {
                   gated_residual(device, rows(delta.at(run).data()), gates, rows(stream.at(run).data()),
                                  scaled);
                 });
}

}  // namespace stepvideo::bench
