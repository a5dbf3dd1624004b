// fp8_attention on the GPU from bf16 operands: their quantisation is part of the time. bench_fp8_attention
// tells the two apart and judges the error.
#include <stepvideo/kernels/attention/fp8_attention.cuh>
#include <stepvideo/kernels/attention/quantize_attention.cuh>

#include "support/attention_bench.cuh"

namespace stepvideo::bench {

void bench_fp8_attention_device(Report& report) {
  for (const AttentionCase& shape : fp8_attention_cases()) {
    const auto extents = HeadsView<const bf16>::dense(nullptr, 1, shape.queries, shape.heads, attention_dim);
    const Buffer<std::byte, Device> memory(
        static_cast<index_t>(fp8_attention_workspace(device, extents, extents)));
    measure_attention(report, shape, [&](const AttentionOperands& on) {
      fp8_attention<bf16>(device, on.queries, on.keys, on.values, FullMask{}, on.out, on.options, {},
                          Workspace(memory));
    });
  }
}

}  // namespace stepvideo::bench
