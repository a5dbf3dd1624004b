// What the transformer is told of time, for the two videos of a guided step. A few kilobytes: a launch's
// time.
#include <stepvideo/kernels/elementwise/timestep.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

void bench_timestep(Report& report) {
  constexpr index_t batch = 2, channels = 256, width = 6144, rows = 6;
  const RandomSets<float> times(batch), in(batch * rows * width), table(rows * width);
  const Buffer<float, Device> sinusoids(batch * channels), out(batch * rows * width);
  report.measure({.name = "timestep_sinusoids, 2 x 256", .bytes = 4.0 * batch * (1 + channels)},
                 [&](int run) {
                   timestep_sinusoids(device, VectorView<const float>(times.at(run).vector()),
                                      sinusoids.matrix(batch, channels));
                 });
  report.measure({.name = "add_table, 2 x 6 x 6144", .bytes = 4.0 * rows * width * (2 * batch + 1)},
                 [&](int run) {
                   add_table(device, in.at(run).matrix(batch, rows * width),
                             MatrixView<const float>(table.at(run).matrix(rows, width)),
                             out.matrix(batch, rows * width));
                 });
}

}  // namespace stepvideo::bench
