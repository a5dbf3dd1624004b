// What a build without tokenizers, libav and the GPU's benches says. Its sources stand in for the library's own here.
#define BOOST_TEST_MODULE without_capabilities
#include <functional>

#include <boost/test/unit_test.hpp>

#include "commands/without_device_bench.cpp"
#include "io/without_video.cpp"
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
BOOST_AUTO_TEST_CASE(a_build_without_libav_refuses_mp4_before_the_work) {
  const ScratchFolder folder;
  check_says([&] { io::require_video_output("--output", folder / "v.mp4"); }, "--output");
  check_says([&] { io::open_video_writer(folder / "v.mp4", {1, 16, 16}); }, "STEPVIDEO_VIDEO=ON");
  check_says([&] { io::read_video(folder / "v.mp4"); }, "STEPVIDEO_VIDEO=ON");
  BOOST_CHECK(folder.names().empty());
}
BOOST_AUTO_TEST_CASE(a_build_without_libav_still_writes_tensors) {
  const ScratchFolder folder;
  BOOST_CHECK_NO_THROW(io::require_video_output("--output", folder / "v.safetensors"));
  const Buffer<float> pixels(3 * 16 * 16);
  std::fill(pixels.begin(), pixels.end(), 0.5f);
  const auto writer = io::open_video_writer(folder / "v.safetensors", {1, 16, 16});
  writer->append({pixels.data(), 1, 16, 16, 3});
  writer->finish();
  BOOST_CHECK_EQUAL(io::read_video(folder / "v.safetensors").pixels[100], 0.5f);
}
BOOST_AUTO_TEST_CASE(a_build_without_the_gpus_benches_says_so) {
  BOOST_CHECK(!commands::can_bench_device());
  check_says([] { commands::bench_device({}); }, "STEPVIDEO_CUDA=ON");
  check_says([] { commands::bench_matmuls({}); }, "STEPVIDEO_CUDA=ON");
}
