// linear at the four shapes of the model's block, in bf16 and fp8: one product of cuBLASLt each, with the
// algorithm of the table, or the library's first proposal where the table has none for this chip.
#include <cmath>
#include <string>

#include <stepvideo/kernels/linear/scaled_linear.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

namespace {

constexpr index_t rows = 75'888;

template <class Epilogue>
void measure(Report& report, Device planned, const char* what, index_t columns, index_t depth,
             const Epilogue& epilogue) {
  // As the model's weights are scaled: results near 1, so that the chip's power is what it is in a run.
  const RandomSets<bf16> in(rows * depth), weight(columns * depth, 1 / std::sqrt(static_cast<float>(depth)));
  const Buffer<bf16, Device> out(rows * columns);
  const double m = rows, n = static_cast<double>(columns), k = static_cast<double>(depth);
  report.measure({.name = "linear, bf16, " + std::string(what) + std::to_string(rows) + " x " +
                          std::to_string(columns) + " x " + std::to_string(depth),
                  .flops = 2 * m * n * k,
                  .bytes = 2 * (m * k + n * k + m * n)},
                 [&](int run) {
                   linear(planned, in.at(run).matrix(rows, depth), weight.at(run).matrix(columns, depth),
                          epilogue, out.matrix(rows, columns));
                 });
}

/// The same of fp8, a scale for each row of tokens and of weights.
void measure_fp8(Report& report, Device planned, index_t columns, index_t depth) {
  const RandomSets<fp8_e4m3> in(rows * depth, 100.0f), weight(columns * depth, 100.0f);
  const float size = 1e-4f / std::sqrt(static_cast<float>(depth));
  const RandomSets<float> of_rows(rows, size), of_columns(columns);
  const Buffer<bf16, Device> out(rows * columns);
  const double m = rows, n = static_cast<double>(columns), k = static_cast<double>(depth);
  report.measure({.name = "linear, fp8 with scales, " + std::to_string(rows) + " x " +
                          std::to_string(columns) + " x " + std::to_string(depth),
                  .flops = 2 * m * n * k,
                  .bytes = m * k + n * k + 2 * m * n},
                 [&](int run) {
                   linear(planned, ScaledRows{in.at(run).matrix(rows, depth), of_rows.at(run).vector()},
                          ScaledRows{weight.at(run).matrix(columns, depth), of_columns.at(run).vector()},
                          Store{}, out.matrix(rows, columns));
                 });
}

}  // namespace

void bench_linear_device(Report& report) {
  MatmulPlans plans(device, report.matmul_table());
  const Device planned{.matmuls = &plans};
  measure(report, planned, "", 18'432, 6144, Store{});
  measure(report, planned, "", 6144, 6144, Store{});
  measure(report, planned, "GELU, ", 24'576, 6144, Activate<GeluTanh>{});
  measure(report, planned, "", 6144, 24'576, Store{});
  measure_fp8(report, planned, 18'432, 6144);
  measure_fp8(report, planned, 6144, 6144);
  measure_fp8(report, planned, 24'576, 6144);
  measure_fp8(report, planned, 6144, 24'576);
}

}  // namespace stepvideo::bench
