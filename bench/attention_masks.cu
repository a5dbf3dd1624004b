// attention on the GPU under masks that hide the first keys, beside the causal one that hides none of them.
#include <cstdint>
#include <string>

#include <stepvideo/kernels/attention/attention.cuh>

#include "support/attention_bench.cuh"

namespace stepvideo::bench {
namespace {

constexpr index_t tokens = 16'384, heads = 24, sequences = 8, sequence = tokens / sequences;

/// Each query sees `visible` keys in the mean.
AttentionCase masked(const std::string& mask, index_t visible) {
  return {
      "attention, bf16, " + std::to_string(tokens) + " tokens, " + std::to_string(heads) + " heads, " + mask,
      tokens,
      tokens,
      visible,
      heads,
      Arithmetic::bf16,
      "cudnn"};
}

}  // namespace

void bench_attention_masks(Report& report) {
  const Buffer<std::int32_t> starts(sequences + 1);
  const Buffer<std::int32_t, Device> device_starts(starts.size());
  for (index_t i = 0; i <= sequences; ++i) starts[i] = static_cast<std::int32_t>(i * sequence);
  copy(device, starts, device_starts);
  const auto measure = [&](const AttentionCase& shape, const auto& mask) {
    measure_attention(report, shape, [&](const AttentionOperands& on) {
      attention(device, on.queries, on.keys, on.values, mask, on.out, on.options);
    });
  };
  measure(masked("causal", tokens / 2), CausalMask{});
  measure(masked("causal, bottom-right", tokens / 2), BottomRightCausalMask{});
  measure(masked("a window of 4096 keys before", 4096 - 4096 * 4096 / (2 * tokens)),
          WindowMask{.before = 4095});
  measure(masked("8 packed sequences", sequence),
          PackedMask{.query_starts = device_starts.vector(), .key_starts = device_starts.vector()});
  measure(
      masked("8 packed sequences, causal", sequence / 2),
      PackedMask{.query_starts = device_starts.vector(), .key_starts = device_starts.vector(), .after = 0});
  // What the packed ones are to reach: the same sequences as a batch, as far as the kernel is concerned.
  const auto as_batch = [](const auto& view) {
    auto batch = view;
    batch.batch = sequences, batch.tokens = sequence, batch.batch_stride = sequence * view.token_stride;
    return batch;
  };
  measure_attention(report, masked("8 sequences as a batch, causal", sequence / 2),
                    [&](const AttentionOperands& on) {
                      attention(device, as_batch(on.queries), as_batch(on.keys), as_batch(on.values),
                                CausalMask{}, as_batch(on.out), on.options);
                    });
}

}  // namespace stepvideo::bench
