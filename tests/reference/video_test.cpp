#define BOOST_TEST_MODULE video
#include "io/video.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include <boost/test/unit_test.hpp>
#include <malloc.h>

#include "io/checkpoint.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"
#include "support/video_samples.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(colours_come_back_within_two_levels) {
  const ScratchFolder folder;
  write_video(folder / "bars.mp4", colour_bars(), bars_shape);
  const auto video = read_video(folder / "bars.mp4");
  BOOST_REQUIRE(video.shape == bars_shape);
  BOOST_CHECK_LE(worst_level(rgb_of(video)), 2);
}
BOOST_AUTO_TEST_CASE(ffmpeg_sees_the_same_colours, *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  write_video(folder / "bars.mp4", colour_bars(), bars_shape);
  const auto rgb = output_of("ffmpeg -i " + (folder / "bars.mp4").string() +
                             " -sws_flags accurate_rnd+full_chroma_int -f rawvideo -pix_fmt rgb24 -");
  BOOST_REQUIRE_EQUAL(rgb.size(), 3u * 17 * 64 * 256);
  BOOST_CHECK_LE(worst_level(rgb), 2);
}
BOOST_AUTO_TEST_CASE(the_mp4_is_tagged_as_what_it_is, *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  write_video(folder / "bars.mp4", colour_bars(), bars_shape);
  const auto tags = output_of("ffprobe -show_streams " + (folder / "bars.mp4").string());
  for (const char* tag :
       {"codec_name=h264", "pix_fmt=yuv420p", "color_range=tv", "color_space=bt709", "color_primaries=bt709",
        "color_transfer=bt709", "r_frame_rate=25/1", "avg_frame_rate=25/1", "nb_frames=17",
        "duration=0.680000", "width=256", "height=64"})
    BOOST_CHECK_MESSAGE(tags.find(tag) != tags.npos, "lacks " << tag << ":\n" << tags);
}
BOOST_AUTO_TEST_CASE(the_index_comes_before_the_frames) {
  const ScratchFolder folder;
  write_video(folder / "bars.mp4", colour_bars(), bars_shape);
  const auto file = read_text(folder / "bars.mp4");
  BOOST_REQUIRE(file.find("moov") != file.npos);
  BOOST_CHECK_LT(file.find("moov"), file.find("mdat"));
}
BOOST_AUTO_TEST_CASE(the_same_frames_give_the_same_bytes) {
  const ScratchFolder folder;
  constexpr VideoShape shape{34, 128, 192};
  const auto pixels = moving_pattern(shape);
  // An encoder that reads memory it never wrote shows here: malloc fills blocks with another byte each time.
  for (const std::string kind : {".mp4", ".webm"}) {
    write_video(folder / ("a" + kind), pixels, shape);
    for (const int fill : {1, 85, 170}) {
      mallopt(M_PERTURB, fill);
      write_video(folder / ("b" + kind), pixels, shape);
      BOOST_CHECK(read_text(folder / ("a" + kind)) == read_text(folder / ("b" + kind)));
    }
    mallopt(M_PERTURB, 0);
  }
}
BOOST_AUTO_TEST_CASE(a_moving_picture_comes_back_and_keeps_its_order) {
  const ScratchFolder folder;
  constexpr VideoShape shape{34, 128, 192};
  const auto pixels = moving_pattern(shape);
  write_video(folder / "a.mp4", pixels, shape);
  const auto video = read_video(folder / "a.mp4");
  BOOST_REQUIRE(video.shape == shape);
  Buffer<float> clamped(pixels.size());
  for (index_t i = 0; i < pixels.size(); ++i) clamped[i] = std::clamp(pixels[i], -1.0f, 1.0f);
  STEPVIDEO_CHECK_CLOSE(video.pixels, clamped, 0.1);
}
BOOST_AUTO_TEST_CASE(frames_may_come_in_chunks_of_any_size) {
  const ScratchFolder folder;
  const auto bars = colour_bars();
  write_video(folder / "whole.mp4", bars, bars_shape);
  const auto writer = open_video_writer(folder / "parts.mp4", bars_shape);
  for (index_t first = 0; first < bars_shape.frames; first += 5)
    append(*writer,
           view_of(bars, bars_shape).frames_from(first, std::min<index_t>(5, bars_shape.frames - first)));
  writer->finish();
  BOOST_CHECK(read_text(folder / "whole.mp4") == read_text(folder / "parts.mp4"));
}
BOOST_AUTO_TEST_CASE(one_frame_is_a_video) {
  const ScratchFolder folder;
  constexpr VideoShape shape{1, 16, 16};
  write_video(folder / "one.mp4", moving_pattern(shape), shape);
  BOOST_CHECK(read_video(folder / "one.mp4").shape == shape);
}
BOOST_AUTO_TEST_CASE(values_outside_the_range_are_clamped_in_an_mp4) {
  const ScratchFolder folder;
  constexpr VideoShape shape{1, 16, 16};
  Buffer<float> pixels(3 * 16 * 16);
  for (float& value : pixels) value = 7.0f;
  write_video(folder / "white.mp4", pixels, shape);
  for (const float value : read_video(folder / "white.mp4").pixels) BOOST_CHECK_GT(value, 0.98f);
}
BOOST_AUTO_TEST_CASE(a_tensor_video_keeps_every_float) {
  const ScratchFolder folder;
  constexpr VideoShape shape{2, 16, 32};
  std::mt19937 engine(9);
  const auto pixels = random_normal<float>(3 * 2 * 16 * 32, engine, 3.0f);
  write_video(folder / "v.safetensors", pixels, shape);
  const auto file = Checkpoint::open(folder / "v.safetensors");
  BOOST_CHECK((file.at("video").shape == Shape{1, 2, 3, 16, 32}));
  const auto planes = file.load<float>("video");
  for (index_t frame = 0; frame < 2; ++frame)
    for (index_t channel = 0; channel < 3; ++channel)
      for (index_t i = 0; i < 16 * 32; ++i)
        BOOST_REQUIRE_EQUAL(planes[(frame * 3 + channel) * 512 + i], pixels[(frame * 512 + i) * 3 + channel]);
  const auto video = read_video(folder / "v.safetensors");
  BOOST_CHECK(video.shape == shape);
  BOOST_CHECK(std::equal(video.pixels.begin(), video.pixels.end(), pixels.begin(), pixels.end()));
}

BOOST_AUTO_TEST_SUITE(what_goes_wrong)

void check_failure(const std::function<void()>& action, const std::string& phrase) {
  BOOST_CHECK_EXCEPTION(action(), Error, [&](const Error& error) {
    BOOST_TEST_MESSAGE(error.what());
    return std::string(error.what()).find(phrase) != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(nan_in_a_frame_names_the_frame_and_leaves_nothing) {
  const ScratchFolder folder;
  for (const char* name : {"v.mp4", "v.safetensors"}) {
    auto bars = colour_bars();
    bars[3 * (5 * 64 * 256 + 77) + 1] = std::numeric_limits<float>::quiet_NaN();
    {
      const auto writer = open_video_writer(folder / name, bars_shape);
      check_failure([&] { append(*writer, view_of(bars, bars_shape)); }, "frame 5");
    }
    BOOST_CHECK(folder.names().empty());
  }
}
BOOST_AUTO_TEST_CASE(nothing_bears_the_name_before_the_end) {
  const ScratchFolder folder;
  for (const std::string name : {"v.mp4", "v.safetensors"}) {
    const auto bars = colour_bars();
    const auto writer = open_video_writer(folder / name, bars_shape);
    append(*writer, view_of(bars, bars_shape));
    BOOST_CHECK(!std::filesystem::exists(folder / name));
    writer->finish();
    BOOST_CHECK(std::filesystem::exists(folder / name));
  }
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);
}
BOOST_AUTO_TEST_CASE(an_abandoned_writer_keeps_the_old_file) {
  const ScratchFolder folder;
  folder.write("v.mp4", "old");
  {
    const auto bars = colour_bars();
    const auto writer = open_video_writer(folder / "v.mp4", bars_shape);
    append(*writer, view_of(bars, bars_shape));
  }
  BOOST_CHECK_EQUAL(read_text(folder / "v.mp4"), "old");
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}
BOOST_AUTO_TEST_CASE(missing_and_surplus_frames_are_errors) {
  const ScratchFolder folder;
  const auto bars = colour_bars();
  const auto writer = open_video_writer(folder / "v.mp4", bars_shape);
  append(*writer, view_of(bars, bars_shape).frames_from(0, 16));
  check_failure([&] { writer->finish(); }, "16 frames came of the 17");
  check_failure([&] { append(*writer, view_of(bars, bars_shape).frames_from(0, 2)); }, "after the 17");
}
BOOST_AUTO_TEST_CASE(frames_of_another_size_are_errors) {
  const ScratchFolder folder;
  const auto bars = colour_bars();
  const auto writer = open_video_writer(folder / "v.mp4", {17, 64, 128});
  check_failure([&] { append(*writer, view_of(bars, bars_shape)); }, "256x64");
}
BOOST_AUTO_TEST_CASE(what_is_no_video_is_refused) {
  const ScratchFolder folder;
  check_refused([&] { read_video(folder / "gone.mp4"); }, {"gone.mp4", "cannot be read"});
  check_refused([&] { read_video(folder.write("text.mp4", "no video")); }, {"text.mp4", "cannot be read"});
  Buffer<float> values = colour_bars();
  write_safetensors(folder / "flat.safetensors", {named_tensor("video", {values.size()}, values)});
  check_refused([&] { read_video(folder / "flat.safetensors"); },
                {"flat.safetensors", "(1, frames, 3, height, width)"});
}
BOOST_AUTO_TEST_CASE(a_truncated_mp4_is_an_error) {
  const ScratchFolder folder;
  write_video(folder / "v.mp4", colour_bars(), bars_shape);
  std::filesystem::resize_file(folder / "v.mp4", 400);
  BOOST_CHECK_THROW(read_video(folder / "v.mp4"), Error);
}

BOOST_AUTO_TEST_SUITE_END()
