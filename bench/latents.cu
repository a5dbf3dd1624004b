// Latents to tokens and back: the two videos of a guided step, and 32, where the launch no longer counts.
#include <string>

#include <stepvideo/kernels/elementwise/latents.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_latents(Report& report) {
  constexpr LatentShape shape{36, 34, 62};
  constexpr index_t channels = 64;
  for (const index_t batch : {2, 32}) {
    const index_t tokens = shape.tokens(), size = batch * tokens * channels;
    const RandomSets<float> in(size), results(size);
    const RandomSets<bf16> patches(size);
    const auto name = [&](const char* what) { return what + std::to_string(batch) + " x 75888 x 64"; };
    report.measure({.name = name("latents_to_tokens, bf16, "), .bytes = (4.0 + 2.0) * size}, [&](int run) {
      latents_to_tokens(device, LatentsView<const float>{in.at(run).data(), batch, channels, shape},
                        TokensView<bf16>::dense(patches.at(run).data(), batch, tokens, channels));
    });
    report.measure({.name = name("tokens_to_latents, float, "), .bytes = (4.0 + 4.0) * size}, [&](int run) {
      tokens_to_latents(device, TokensView<const float>::dense(in.at(run).data(), batch, tokens, channels),
                        LatentsView<float>{results.at(run).data(), batch, channels, shape});
    });
  }
}

}  // namespace stepvideo::bench
