// plain_attention, what float32 and other widths than the tensor cores' take; its share is of what those
// reach.
#include <string>

#include <stepvideo/kernels/attention/plain_attention.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_plain_attention(Report& report) {
  const auto measure = [&]<class T>(T, const std::string& element, index_t tokens, index_t heads,
                                    index_t dim) {
    const index_t width = heads * dim;
    const RandomSets<T> queries(tokens * width), keys(tokens * width), values(tokens * width);
    const Buffer<T, Device> out(tokens * width);
    const auto view = [&](const Buffer<T, Device>& buffer) {
      return HeadsView<T>::dense(buffer.data(), 1, tokens, heads, dim);
    };
    report.measure({.name = "plain_attention, " + element + ", " + std::to_string(tokens) + " tokens, " +
                            std::to_string(heads) + " heads of " + std::to_string(dim),
                    .flops = 4.0 * static_cast<double>(tokens) * static_cast<double>(tokens * width),
                    .bytes = 4.0 * sizeof(T) * static_cast<double>(tokens * width)},
                   [&](int run) {
                     plain_attention<T>(device, view(queries.at(run)), view(keys.at(run)),
                                        view(values.at(run)), FullMask{}, view(out), {.scale = 0.088f});
                   });
  };
  measure(float{}, "fp32", 8192, 6, 128);
  measure(bf16{}, "bf16", 8192, 8, 96);
  measure(bf16{}, "bf16", 8192, 1, 512);
}

}  // namespace stepvideo::bench
