// warp_attention, the path for GPUs before Hopper, on whichever GPU there is.
#include <stepvideo/kernels/attention/warp_attention.cuh>

#include "support/attention_bench.cuh"

namespace stepvideo::bench {

void bench_warp_attention(Report& report) {
  for (const AttentionCase& shape : warp_attention_cases())
    measure_attention(report, shape, [](const AttentionOperands& on) {
      warp_attention(device, on.queries, on.keys, on.values, FullMask{}, on.out, on.options);
    });
}

}  // namespace stepvideo::bench
