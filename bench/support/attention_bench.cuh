// What the benches of attention share.
#pragma once
#include <functional>
#include <vector>

#include <stepvideo/kernels/attention/attention.hpp>

#include "support/attention_rows.hpp"
#include "support/device_bench.cuh"

namespace stepvideo::bench {

/// One run's operands, dense in (tokens, heads, dim) order, and the mask's key count in device memory.
struct AttentionOperands {
  HeadsView<const bf16> queries, keys, values;
  HeadsView<bf16> out;
  VectorView<const index_t> key_lengths;
  AttentionOptions options;
};

/// Measures `attend` on random operands of the case.
inline void measure_attention(Report& report, const AttentionCase& shape,
                              const std::function<void(const AttentionOperands&)>& attend) {
  const index_t width = shape.heads * attention_dim;
  const RandomSets<bf16> queries(shape.queries * width), keys(shape.keys * width), values(shape.keys * width);
  const Buffer<bf16, Device> out(shape.queries * width);
  const Buffer<index_t> length(1);
  const Buffer<index_t, Device> key_length(1);
  length[0] = shape.visible;
  copy(device, length, key_length);
  const auto heads = [&](bf16* data, index_t tokens) {
    return HeadsView<bf16>::dense(data, 1, tokens, shape.heads, attention_dim);
  };
  report.measure(shape.row(), [&](int run) {
    attend({.queries = heads(queries.at(run).data(), shape.queries),
            .keys = heads(keys.at(run).data(), shape.keys),
            .values = heads(values.at(run).data(), shape.keys),
            .out = heads(out.data(), shape.queries),
            .key_lengths = key_length.vector(),
            .options = {.spare_multiprocessors = shape.spare_multiprocessors}});
  });
}

}  // namespace stepvideo::bench
