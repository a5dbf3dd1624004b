// Decoded frames on their way into a file: a chunk's pixels, within the GPU's memory and, as the executor has
// them, straight into the host's, and the seam between two chunks.
#include <string>

#include <stepvideo/core/pinned.cuh>
#include <stepvideo/kernels/elementwise/pixels.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {
namespace {

constexpr index_t frames = 17, height = 544, width = 992;

template <class Layout>
void measure_pixels(Report& report, const char* name, const RandomSets<float>& in, const Layout& layout) {
  const index_t frame_bytes = layout.frame_bytes(height, width), size = frames * frame_bytes;
  const Buffer<std::uint8_t, Device> out(size), marks(frames);
  const PinnedBuffer<std::uint8_t> pinned(size), pinned_marks(frames);
  const auto into = [&](const auto& bytes, const auto& their_marks) {
    return [&](int run) {
      frames_to_pixels(device, VideoView<const float>{in.at(run).data(), frames, height, width, 3}, layout,
                       {bytes.data(), frames, height, width, frame_bytes, their_marks.data()});
    };
  };
  const double read = 12.0 * frames * height * width;
  const std::string text = "frames_to_pixels, " + std::string(name) + ", 17 x 544 x 992";
  report.measure({.name = text, .bytes = read + static_cast<double>(size)}, into(out, marks));
  report.measure({.name = text + " into pinned memory", .bytes = static_cast<double>(size)},
                 into(pinned, pinned_marks));
}

}  // namespace

void bench_pixels(Report& report) {
  const RandomSets<float> in(frames * height * width * 3, 0.5f);
  measure_pixels(report, "4:2:0", in, YuvPixels<2>{});
  measure_pixels(report, "4:4:4", in, YuvPixels<1>{});
  measure_pixels(report, "RGB", in, RgbPixels{});
  measure_pixels(report, "floats", in, FloatPixels{});
  const index_t frame = height * width * 3;
  const RandomSets<float> last(frame), first(frame);
  report.measure({.name = "join_seam, 544 x 992", .bytes = 4.0 * sizeof(float) * frame},
                 [&](int run) { join_seam(device, last.at(run).vector(), first.at(run).vector()); });
}

}  // namespace stepvideo::bench
