// What a build without tokenizers, libav and the GPU's benches says. Its sources stand in for the library's
// own here.
#define BOOST_TEST_MODULE without_capabilities
#include <functional>
#include <string>

#include <boost/test/unit_test.hpp>

#include "commands/without_device_bench.cpp"
#include "io/without_denoise.cpp"
#include "io/without_video.cpp"
#include "support/append_frames.hpp"
#include "support/scratch_folder.hpp"
#include "text/without_text.cpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

void check_says(const std::function<void()>& action, const std::string& phrase) {
  BOOST_CHECK_EXCEPTION(action(), Error, [&](const Error& error) {
    BOOST_TEST_MESSAGE(error.what());
    return std::string(error.what()).find(phrase) != std::string::npos;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_build_without_tokenizers_says_so) {
  check_says([] { text::open_sentencepiece_tokenizer("x.model"); }, "STEPVIDEO_TEXT=ON");
  check_says([] { text::open_wordpiece_tokenizer("vocab.txt"); }, "STEPVIDEO_TEXT=ON");
}
BOOST_AUTO_TEST_CASE(a_build_without_filters_says_so) {
  check_says(
      [] {
        io::require_video_fits("--output", "v.mp4", {17, 32, 32}, {.denoises = true});
      },
      "--denoise needs libavfilter's atadenoise");
}
BOOST_AUTO_TEST_CASE(a_build_without_libav_refuses_mp4_before_the_work) {
  const ScratchFolder folder;
  check_says([&] { io::require_video_output("--output", folder / "v.mp4"); }, "--output");
  check_says([&] { io::open_video_writer(folder / "v.mp4", {1, 16, 16}); }, "STEPVIDEO_VIDEO=ON");
  check_says([&] { io::read_video(folder / "v.mp4"); }, "STEPVIDEO_VIDEO=ON");
  BOOST_CHECK(folder.names().empty());
}
BOOST_AUTO_TEST_CASE(a_build_without_libav_writes_y4m) {
  const ScratchFolder folder;
  BOOST_CHECK_NO_THROW(io::require_video_output("--output", folder / "v.y4m"));
  const auto written = [&](io::Chroma chroma, VideoShape shape) {
    Buffer<float> pixels(index_t{shape.frames} * shape.height * shape.width * 3);
    for (index_t i = 0; i < pixels.size(); ++i)
      pixels[i] = i / 3 % 2 == 0 ? 5.0f : -5.0f;  // white, black, ...
    const auto writer = io::open_video_writer(folder / "v.y4m", shape, {.rate = {24, 1}, .chroma = chroma});
    testing::append(*writer, {pixels.data(), shape.frames, shape.height, shape.width, 3});
    writer->finish();
    return read_text(folder / "v.y4m");
  };
  const std::string grey(1, char(128)), white(1, char(235)), black(1, char(16));
  std::string luma, full;
  for (int i = 0; i < 16; ++i) luma += i % 2 == 0 ? white : black;
  for (int i = 0; i < 32; ++i) full += grey;
  const std::string frame = "FRAME\n" + luma + full;
  BOOST_CHECK(written(io::Chroma::yuv444, {2, 2, 8}) ==
              "YUV4MPEG2 W8 H2 F24:1 Ip A1:1 C444 XYSCSS=444 XCOLORRANGE=LIMITED\n" + frame + frame);
  // An odd number of columns: the last colour is of one column.
  BOOST_CHECK(written(io::Chroma::yuv420, {1, 2, 3}) ==
              "YUV4MPEG2 W3 H2 F24:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED\nFRAME\n" + white +
                  black + white + black + white + black + grey + grey + grey + grey);
}
BOOST_AUTO_TEST_CASE(a_build_without_libav_still_writes_tensors) {
  const ScratchFolder folder;
  BOOST_CHECK_NO_THROW(io::require_video_output("--output", folder / "v.safetensors"));
  const Buffer<float> pixels(3 * 16 * 16);
  std::fill(pixels.begin(), pixels.end(), 0.5f);
  const auto writer = io::open_video_writer(folder / "v.safetensors", {1, 16, 16});
  testing::append(*writer, {pixels.data(), 1, 16, 16, 3});
  writer->finish();
  BOOST_CHECK_EQUAL(io::read_video(folder / "v.safetensors").pixels[100], 0.5f);
}
BOOST_AUTO_TEST_CASE(a_build_without_the_gpus_benches_says_so) {
  BOOST_CHECK(!commands::can_bench_device());
  check_says([] { commands::bench_device({}); }, "STEPVIDEO_CUDA=ON");
  check_says([] { commands::bench_matmuls({}); }, "STEPVIDEO_CUDA=ON");
}
