// GroupNorm and SiLU at the VAE decoder's sizes. The statistics need every value before the first result, so
// the input is counted twice and the output once.
#include <string>

#include <stepvideo/kernels/norm/group_norm.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

namespace {

template <class In>
void measure(Report& report, index_t frames, index_t height, index_t width, index_t channels) {
  const index_t size = frames * height * width * channels;
  const RandomSets<In> in(size);
  const RandomSets<bf16> weight(channels), bias(channels);
  const Buffer<bf16, Device> out(size);
  const auto video = [&](auto* data) {
    return VideoView<std::remove_pointer_t<decltype(data)>>{data, frames, height, width, channels};
  };
  const Buffer<std::byte, Device> workspace(
      static_cast<index_t>(group_norm_workspace(device, video(in.at(0).data()))));
  const auto times = [](index_t a, index_t b) { return std::to_string(a) + " x " + std::to_string(b); };
  report.measure({.name = "group_norm + silu, " + std::string(element_name<In>) + " to bf16, " +
                          times(frames, height) + " x " + times(width, channels),
                  .bytes = static_cast<double>(size) * (2 * sizeof(In) + sizeof(bf16))},
                 [&](int run) {
                   group_norm(device, video(in.at(run).data()), weight.at(run).vector(),
                              bias.at(run).vector(), 32, 1e-5f, Activate<Silu>{}, video(out.data()),
                              Workspace(workspace));
                 });
}

}  // namespace

void bench_group_norm(Report& report) {
  measure<bf16>(report, 20, 544, 992, 128);
  measure<bf16>(report, 10, 272, 496, 256);
  measure<bf16>(report, 5, 136, 248, 512);
  measure<float>(report, 10, 544, 992, 128);
}

}  // namespace stepvideo::bench
