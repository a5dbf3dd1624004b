// rms_norm over the heads of the queries, at the model's full size.
#include <stepvideo/kernels/norm/rms_norm.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_rms_norm(Report& report) {
  constexpr index_t tokens = 75'888, heads = 48, dim = 128, size = tokens * heads * dim;
  const RandomSets<bf16> in(size), weight(dim);
  const Buffer<bf16, Device> out(size);
  report.measure(
      {.name = "rms_norm, bf16, 75888 x 48 x 128", .bytes = 2.0 * sizeof(bf16) * size}, [&](int run) {
        rms_norm(device, HeadsView<const bf16>::dense(in.at(run).data(), 1, tokens, heads, dim),
                 weight.at(0).vector(), 1e-6f, HeadsView<bf16>::dense(out.data(), 1, tokens, heads, dim));
      });
}

}  // namespace stepvideo::bench
