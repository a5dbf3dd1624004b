// attention on the GPU: the transformer's self-attention and its cross-attention.
#include <stepvideo/kernels/attention/attention.cuh>

#include "support/attention_bench.cuh"

namespace stepvideo::bench {

void bench_attention_device(Report& report) {
  for (const AttentionCase& shape : attention_cases())
    measure_attention(report, shape, [&](const AttentionOperands& on) {
      if (shape.visible == shape.keys)
        attention(device, on.queries, on.keys, on.values, FullMask{}, on.out, on.options);
      else
        attention(device, on.queries, on.keys, on.values, KeyPrefixMask{on.key_lengths}, on.out, on.options);
    });
}

}  // namespace stepvideo::bench
