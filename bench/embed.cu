// embed of a pair of Step-LLM's prompts.
#include <stepvideo/kernels/elementwise/embed.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_embed(Report& report) {
  constexpr index_t batch = 2, tokens = 320, width = 6144, vocabulary = 65'536;
  const RandomSets<bf16> words(vocabulary * width);
  Buffer<std::int32_t> chosen(batch * tokens);
  for (index_t i = 0; i < chosen.size(); ++i)
    chosen[i] = static_cast<std::int32_t>(philox4x32(1, static_cast<std::uint64_t>(i))[0] % vocabulary);
  const Buffer<std::int32_t, Device> ids(chosen.size());
  copy(device, chosen, ids);
  const Buffer<bf16, Device> out(batch * tokens * width);
  report.measure({.name = "embed, bf16, 2 x 320 x 6144", .bytes = 2.0 * 2.0 * out.size()}, [&](int run) {
    embed(device, ids.matrix(batch, tokens), {.words = words.at(run).matrix(vocabulary, width)},
          TokensView<bf16>::dense(out.data(), batch, tokens, width));
  });
}

}  // namespace stepvideo::bench
