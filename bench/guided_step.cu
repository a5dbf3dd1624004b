// guided_step on the latents of the model's full size, and on as many elements as its residual stream has;
// and the noise that the latents start from.
#include <stepvideo/kernels/sampler/guided_step.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_guided_step(Report& report) {
  const auto measure = [&](const char* name, index_t size) {
    const RandomSets<float> prompted(size), negative(size), latents(size);
    report.measure({.name = name, .bytes = 4.0 * sizeof(float) * size}, [&](int run) {
      guided_step(device, {.prompt = prompted.at(run).vector(), .negative = negative.at(run).vector()}, 9.0f,
                  0.03f, latents.at(run).vector());
    });
  };
  measure("guided_step, 75888 x 64", index_t{75'888} * 64);
  measure("guided_step, 75888 x 6144", index_t{75'888} * 6144);
  const Buffer<float, Device> noise(index_t{75'888} * 64);
  report.measure(
      {.name = "fill_unit_normal, 75888 x 64", .bytes = 1.0 * sizeof(float) * noise.size()},
      [&](int run) { fill_unit_normal(device, static_cast<std::uint64_t>(run), 0, noise.vector()); });
}

}  // namespace stepvideo::bench
