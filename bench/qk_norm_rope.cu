// qk_norm_rope at 992x544x204: 48 heads of 128, in bf16 and to fp8. Tables are read from the caches and not
// counted.
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>
#include <stepvideo/kernels/rope/rope.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_qk_norm_rope(Report& report) {
  constexpr LatentShape shape{36, 34, 62};
  constexpr index_t tokens = shape.tokens(), heads = 48, dim = 128, part = tokens * heads * dim;
  constexpr double part_bytes = 2.0 * part;  // bf16
  const RandomSets<bf16> packed(3 * part), weight(dim);
  const Buffer<bf16, Device> out(3 * part);
  const auto table = make_rope_table<float>(device, shape, RopeSplit::of_head(dim));
  const QkNorm<bf16> norm{weight.at(0).vector(), weight.at(1).vector()};
  const auto in = [&](int run) {
    return HeadsView<bf16>::dense(packed.at(run).data(), 1, tokens, heads, 3 * dim);
  };
  const auto head_major = [&](index_t i) {
    return HeadsView<bf16>::head_major(out.data() + i * part, 1, tokens, heads, dim);
  };

  report.measure(
      {.name = "qk_norm_rope, bf16, q k v to head-major, 75888 x 48 x 128", .bytes = 6 * part_bytes},
      [&](int run) {
        qk_norm_rope(device, in(run), norm, table.view(),
                     QkvOutput<bf16>{head_major(0), head_major(1), head_major(2)});
      });
  report.measure(
      {.name = "qk_norm_rope, bf16, q k to head-major, v stays, 75888 x 48 x 128", .bytes = 4 * part_bytes},
      [&](int run) {
        qk_norm_rope(device, in(run), norm, table.view(), QkvOutput<bf16>{head_major(0), head_major(1)});
      });

  const index_t blocks = quantization_blocks(tokens);
  const Buffer<fp8_e4m3, Device> values(2 * part);
  const Buffer<float, Device> scales(2 * blocks * heads);
  const auto quantized = [&](index_t i) {
    return QuantizedHeads<fp8_e4m3>::head_major(values.data() + i * part, scales.data() + i * blocks * heads,
                                                1, tokens, heads, dim);
  };
  report.measure({.name = "qk_norm_rope, fp8 q k and scales, 75888 x 48 x 128", .bytes = 3 * part_bytes},
                 [&](int run) {
                   qk_norm_rope(device, in(run), norm, table.view(),
                                QuantizedQkOutput{quantized(0), quantized(1), HeadRotation::none});
                 });
  report.measure(
      {.name = "qk_norm_rope, fp8 q k and scales, rotated, 75888 x 48 x 128", .bytes = 3 * part_bytes},
      [&](int run) {
        qk_norm_rope(device, in(run), norm, table.view(),
                     QuantizedQkOutput{quantized(0), quantized(1), HeadRotation::hadamard});
      });
  report.measure({.name = "rope3d, bf16, one of q and k in place, 75888 x 48 x 128", .bytes = 2 * part_bytes},
                 [&](int run) { rope3d(device, rope_detail::packed_part(in(run), 0), table.view()); });
}

}  // namespace stepvideo::bench
