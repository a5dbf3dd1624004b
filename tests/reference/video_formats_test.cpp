// What each kind of video file holds after it was written, and that it appears whole or not at all.
#define BOOST_TEST_MODULE video_formats
#include <csignal>

#include <malloc.h>
#include <sys/wait.h>

#include "io/frame_filter.hpp"
#include "io/manifest.hpp"
#include "io/png.hpp"
#include "support/scratch_folder.hpp"
#include "support/video_samples.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

const std::vector<std::string> all_kinds = {"v.mp4", "v.mov",         "v.mkv", "v.webm", "v.y4m",
                                            "v/",    "v.safetensors", "V.MP4", "V.Y4m"};

/// Where libav has what a GIF takes.
boost::test_tools::assertion_result can_write_gif(boost::unit_test::test_unit_id) {
  try {
    detail::require_encoder("--output", VideoKind::gif);
    return true;
  } catch (const RequestError&) {
    return false;
  }
}

std::size_t count(const std::string& text, const std::string& phrase) {
  std::size_t found = 0;
  for (std::size_t at = text.find(phrase); at != text.npos; at = text.find(phrase, at + 1)) ++found;
  return found;
}

std::string tags_of(const std::filesystem::path& path) {
  return output_of("ffprobe -show_streams -show_format '" + path.string() + "'");
}

}  // namespace

BOOST_AUTO_TEST_CASE(colours_survive_every_kind_of_file_within_two_levels) {
  const ScratchFolder folder;
  for (const std::string& name : all_kinds)
    for (const Chroma chroma : {Chroma::yuv420, Chroma::yuv444}) {
      write_video(folder / name, colour_bars(), bars_shape, {.chroma = chroma});
      const Video video = read_video(folder / name);
      BOOST_REQUIRE(video.shape == bars_shape);
      BOOST_CHECK_MESSAGE(worst_level(rgb_of(video)) <= 2, name << ": " << worst_level(rgb_of(video)));
    }
}
BOOST_AUTO_TEST_CASE(ffmpeg_sees_the_same_colours_in_a_webm, *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  write_video(folder / "v.webm", colour_bars(), bars_shape);
  const auto rgb = output_of("ffmpeg -i " + (folder / "v.webm").string() +
                             " -sws_flags accurate_rnd+full_chroma_int -f rawvideo -pix_fmt rgb24 -");
  BOOST_REQUIRE_EQUAL(rgb.size(), 3u * 17 * 64 * 256);
  BOOST_CHECK_LE(worst_level(rgb), 2);
}
BOOST_AUTO_TEST_CASE(ffmpeg_sees_the_same_colours_in_a_y4m_and_in_its_frames,
                     *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  for (const std::string name : {"v.y4m", "v/"}) {
    write_video(folder / name, colour_bars(), bars_shape);
    const auto rgb =
        output_of("ffmpeg -i " + (folder / name).string() + (name == "v/" ? "frame_%05d.png" : "") +
                  " -sws_flags accurate_rnd+full_chroma_int -f rawvideo -pix_fmt rgb24 -");
    BOOST_REQUIRE_EQUAL(rgb.size(), 3u * 17 * 64 * 256);
    BOOST_CHECK_LE(worst_level(rgb), 2);
  }
}
BOOST_AUTO_TEST_CASE(png_and_444_y4m_keep_every_pixel) {
  const ScratchFolder folder;
  constexpr VideoShape shape{3, 32, 48};
  const auto pixels = moving_pattern(shape);
  write_video(folder / "v/", pixels, shape);
  write_video(folder / "v.y4m", pixels, shape);
  const Video png = read_video(folder / "v"), y4m = read_video(folder / "v.y4m");
  for (index_t i = 0; i < pixels.size(); ++i) {
    const float level = std::round((std::clamp(pixels[i], -1.0f, 1.0f) + 1) * 127.5f);
    BOOST_REQUIRE_EQUAL(std::lround((png.pixels[i] + 1) * 127.5f), std::lround(level));
    BOOST_REQUIRE_LE(std::abs((y4m.pixels[i] + 1) * 127.5f - level), 2.01f);
  }
}
BOOST_AUTO_TEST_CASE(the_frame_rate_asked_for_is_written_and_read_back) {
  const ScratchFolder folder;
  constexpr VideoShape shape{17, 32, 32};
  for (const std::string name : {"v.mp4", "v.mov", "v.mkv", "v.webm", "v.y4m"})
    for (const FrameRate rate : {FrameRate{}, FrameRate{30000, 1001}, FrameRate{8, 1}}) {
      write_video(folder / name, moving_pattern(shape), shape, {.rate = rate});
      const auto found = read_video(folder / name).rate;
      BOOST_REQUIRE(found.has_value());
      BOOST_CHECK_MESSAGE(*found == rate, name << ": " << to_string(*found) << " of " << to_string(rate));
    }
  write_video(folder / "v/", moving_pattern(shape), shape, {.rate = {8, 1}});
  BOOST_CHECK(!read_video(folder / "v/").rate);  // no place for it: the reader says what it is
  BOOST_CHECK(read_video(folder / "v/", FrameRate{8, 1}).rate == std::optional(FrameRate{8, 1}));
}
BOOST_AUTO_TEST_CASE(a_webm_is_tagged_as_what_it_is, *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  write_video(folder / "v.webm", colour_bars(), bars_shape, {.manifest = [] { return R"({"a":1})"; }});
  const auto tags = tags_of(folder / "v.webm");
  for (const char* tag :
       {"codec_name=vp9", "pix_fmt=yuv420p", "color_range=tv", "color_space=bt709", "color_primaries=bt709",
        "color_transfer=bt709", "r_frame_rate=25/1", "avg_frame_rate=25/1", R"(TAG:COMMENT={"a":1})"})
    BOOST_CHECK_MESSAGE(tags.find(tag) != tags.npos, "lacks " << tag << ":\n" << tags);
}
BOOST_AUTO_TEST_CASE(chroma_444_reaches_the_file, *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  for (const std::string name : {"v.mp4", "v.mov", "v.mkv", "v.webm", "v.y4m"}) {
    write_video(folder / name, colour_bars(), bars_shape, {.chroma = Chroma::yuv444});
    BOOST_CHECK_NE(tags_of(folder / name).find("pix_fmt=yuv444p"), std::string::npos);
    write_video(folder / name, colour_bars(), bars_shape, {.chroma = Chroma::yuv420});
    BOOST_CHECK_NE(tags_of(folder / name).find("pix_fmt=yuv420p"), std::string::npos);
  }
}
BOOST_AUTO_TEST_CASE(a_manifest_is_in_the_file_or_beside_it) {
  const ScratchFolder folder;
  constexpr VideoShape shape{1, 16, 16};
  const auto write = [&](const std::string& name, const std::string& text) {
    VideoOptions options;
    if (!text.empty()) options.manifest = [text] { return text; };
    write_video(folder / name, moving_pattern(shape), shape, std::move(options));
  };
  for (const std::string name : {"v.mp4", "v.mov", "v.mkv", "v.webm"}) {
    write(name, R"({"prompt":"\"quoted\" 红"})");
    BOOST_CHECK_EQUAL(detail::read_container_comment(folder / name).value_or(""),
                      R"({"prompt":"\"quoted\" 红"})");
    write(name, "");
    BOOST_CHECK(!detail::read_container_comment(folder / name));
    const std::string long_text = "{\"prompt\":\"" + std::string(100'000, 'x') + "\"}";
    write(name, long_text);
    BOOST_CHECK(detail::read_container_comment(folder / name) == long_text);
  }
  write("v.y4m", "{}");
  BOOST_CHECK_EQUAL(read_text(folder / "v.y4m.json"), "{}\n");
  write("v.y4m", "");  // the old manifest is not this video's
  BOOST_CHECK(!std::filesystem::exists(folder / "v.y4m.json"));
  write("frames/", "{}");
  BOOST_CHECK_EQUAL(read_text(folder / "frames/manifest.json"), "{}\n");
}

BOOST_AUTO_TEST_CASE(h264_in_other_containers_is_tagged_as_what_it_is,
                     *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  for (const auto& [name, format] : {std::pair{"v.mov", "mov,mp4"}, {"v.mkv", "matroska"}}) {
    write_video(folder / name, colour_bars(), bars_shape);
    const auto tags = tags_of(folder / name);
    for (const std::string tag :
         {"codec_name=h264", "color_range=tv", "color_space=bt709", "avg_frame_rate=25/1"})
      BOOST_CHECK_MESSAGE(tags.find(tag) != tags.npos, name << " lacks " << tag << ":\n" << tags);
    BOOST_CHECK_NE(tags.find(std::string("format_name=") + format), tags.npos);
  }
}
BOOST_AUTO_TEST_CASE(a_gif_shows_every_frame_in_its_colours, *boost::unit_test::precondition(can_write_gif)) {
  const ScratchFolder folder;
  write_video(folder / "v.gif", colour_bars(), bars_shape);
  const Video video = read_video(folder / "v.gif");
  BOOST_REQUIRE(video.shape == bars_shape);
  BOOST_CHECK_LE(worst_level(rgb_of(video)), 2);
  BOOST_CHECK(video.rate == std::optional(FrameRate{25, 1}));

  constexpr VideoShape shape{5, 48, 64};
  const auto pixels = moving_pattern(shape);
  write_video(folder / "v.gif", pixels, shape);
  const Video moving = read_video(folder / "v.gif");
  BOOST_REQUIRE(moving.shape == shape);
  double error = 0, shifted = 0;  // to its own frame, and to the next
  const index_t size = index_t{3} * shape.height * shape.width;
  for (index_t i = 0; i < 4 * size; ++i) {
    error += std::pow(moving.pixels[i] - std::clamp(pixels[i], -1.0f, 1.0f), 2);
    shifted += std::pow(moving.pixels[i] - std::clamp(pixels[i + size], -1.0f, 1.0f), 2);
  }
  BOOST_CHECK_LT(error, 0.5 * shifted);
  BOOST_CHECK_LT(error / static_cast<double>(4 * size), 0.01);
}
BOOST_AUTO_TEST_CASE(a_webp_is_an_animation_of_every_frame) {
  const ScratchFolder folder;
  constexpr VideoShape shape{5, 48, 64};
  write_video(folder / "v.webp", moving_pattern(shape), shape);
  const std::string file = read_text(folder / "v.webp");
  BOOST_CHECK_EQUAL(file.substr(0, 4) + file.substr(8, 8), "RIFFWEBPVP8X");
  BOOST_CHECK_EQUAL(count(file, "ANIM"), 1u);
  BOOST_CHECK_EQUAL(count(file, "ANMF"), 5u);
}
BOOST_AUTO_TEST_CASE(pictures_that_move_have_their_manifest_beside_them_and_the_same_bytes_each_time,
                     *boost::unit_test::precondition(can_write_gif)) {
  const ScratchFolder folder;
  constexpr VideoShape shape{3, 32, 48};
  const auto pixels = moving_pattern(shape);
  for (const std::string name : {"v.gif", "v.webp", "v.mkv", "v.mov"}) {
    const auto write = [&] {
      write_video(folder / name, pixels, shape, {.manifest = [] { return R"({"stepvideo":"1"})"; }});
      return read_text(folder / name);
    };
    BOOST_CHECK(write() == write());
    BOOST_CHECK_EQUAL(read_manifest(folder / name).value_or(Json{}).dump(), R"({"stepvideo":"1"})");
  }
  write_video(folder / "v.gif", pixels, shape);  // the old manifest is not this one's
  BOOST_CHECK(!read_manifest(folder / "v.gif"));
}
BOOST_AUTO_TEST_CASE(what_can_be_written_is_named_a_folder_among_it) {
  const ScratchFolder folder;
  check_refused([&] { require_video_output("--output", folder / "v.avi"); },
                {"'.avi'", ".mp4 and .mov and .mkv and .webm and .gif and .webp", "a folder of PNG files"});
  check_refused([&] { require_video_fits("--output", folder / "v.webp", {1, 16, 16'400}); }, {"16383"});
}

BOOST_AUTO_TEST_SUITE(folders_of_png_files)

void write_frames(const std::filesystem::path& path, int frames) {
  const VideoShape shape{frames, 16, 16};
  write_video(path, moving_pattern(shape), shape);
}

BOOST_AUTO_TEST_CASE(a_folder_appears_when_it_is_whole) {
  const ScratchFolder folder;
  constexpr VideoShape shape{2, 16, 16};
  const auto writer = open_video_writer(folder / "frames/", shape);
  append(*writer, view_of(moving_pattern(shape), shape));
  BOOST_CHECK(!std::filesystem::exists(folder / "frames"));
  writer->finish();
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
  BOOST_CHECK(std::filesystem::exists(folder / "frames/frame_00001.png"));
}
BOOST_AUTO_TEST_CASE(an_abandoned_folder_leaves_the_old_one) {
  const ScratchFolder folder;
  write_frames(folder / "frames/", 2);
  constexpr VideoShape shape{5, 16, 16};
  {
    const auto writer = open_video_writer(folder / "frames", shape);
    append(*writer, view_of(moving_pattern(shape), shape));
  }
  BOOST_CHECK_EQUAL(read_video(folder / "frames").shape.frames, 2);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}
BOOST_AUTO_TEST_CASE(what_a_killed_run_left_goes_with_the_next_one) {
  const ScratchFolder folder;
  constexpr VideoShape shape{5, 16, 16};
  // Before there are two processes, of which one has the other's threads only by name.
  const PixelBuffer pixels = pixels_of(RgbPixels{}, view_of(moving_pattern(shape), shape));
  const pid_t child = fork();
  if (child == 0) {
    const auto writer = open_video_writer(folder / "frames/", shape);
    writer->append(pixels.view().frames_from(0, 3));
    kill(getpid(), SIGKILL);
  }
  BOOST_REQUIRE_EQUAL(waitpid(child, nullptr, 0), child);
  BOOST_REQUIRE_EQUAL(folder.names().size(), 1u);
  require_video_output("--output", folder / "frames/");
  write_frames(folder / "frames/", 2);
  BOOST_CHECK(folder.names() == std::vector<std::string>{"frames"});
}
BOOST_AUTO_TEST_CASE(a_shorter_video_leaves_no_frame_of_a_longer_one) {
  const ScratchFolder folder;
  write_frames(folder / "frames/", 4);
  write_frames(folder / "frames/", 2);
  BOOST_CHECK_EQUAL(read_video(folder / "frames").shape.frames, 2);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}
BOOST_AUTO_TEST_CASE(a_folder_with_other_files_is_not_replaced) {
  const ScratchFolder folder;
  folder.write("frames/thesis.txt", "years of work");
  check_refused([&] { require_video_output("--output", folder / "frames"); },
                {"--output", "thesis.txt", "a new or empty folder works"});
  check_refused([&] { require_video_output("--output", folder.write("file", "x") / ""); }, {"is a file"});
  check_refused([&] { require_video_output("--output", folder / "no/such/"); }, {"does not exist"});
  write_frames(folder / "mine/", 1);
  folder.write("mine/manifest.json", "{}");
  BOOST_CHECK_NO_THROW(require_video_output("--output", folder / "mine/"));
  BOOST_CHECK_NO_THROW(require_video_output("--output", folder / "new/"));
  BOOST_CHECK(!std::filesystem::exists(folder / "new"));
}
BOOST_AUTO_TEST_CASE(frames_are_ordered_by_their_numbers) {
  const ScratchFolder folder;
  constexpr VideoShape shape{1, 16, 16};
  for (const int number : {9, 10, 11}) {
    Buffer<float> grey(3 * 16 * 16);
    std::ranges::fill(grey, static_cast<float>(number) / 127.5f - 1);
    std::filesystem::create_directories(folder / "f");
    write_png(folder / ("f/shot" + std::to_string(number) + ".png"), view_of(grey, shape));
  }
  folder.write("f/notes.txt", "not a frame");
  const Video video = read_video(folder / "f");
  BOOST_REQUIRE_EQUAL(video.shape.frames, 3);
  for (int frame = 0; frame < 3; ++frame)
    BOOST_CHECK_EQUAL(std::lround((*video.view().pixel(frame, 3, 3) + 1) * 127.5f), 9 + frame);
}
BOOST_AUTO_TEST_CASE(folders_that_are_no_sequence_are_refused) {
  const ScratchFolder folder;
  write_frames(folder / "gap/", 4);
  std::filesystem::remove(folder / "gap/frame_00002.png");
  check_refused([&] { read_video(folder / "gap"); },
                {"frame 2 is missing", "frame_00001.png", "frame_00003.png"});
  write_frames(folder / "twice/", 2);
  std::filesystem::copy(folder / "twice/frame_00001.png", folder / "twice/other_1.png");
  check_refused([&] { read_video(folder / "twice"); }, {"one number", "other_1.png"});
  write_frames(folder / "sizes/", 2);
  write_png(folder / "sizes/frame_00002.png", view_of(moving_pattern({1, 16, 32}), {1, 16, 32}));
  check_refused([&] { read_video(folder / "sizes"); }, {"frame 2 is 32x16 after frames of 16x16"});
  folder.write("none/readme.md", "");
  check_refused([&] { read_video(folder / "none"); }, {"holds no .png file"});
  folder.write("text/frame_00000.png", "no image");
  check_refused([&] { read_video(folder / "text"); }, {"frame_00000.png"});
  folder.write("empty/frame_00000.png", "");
  check_refused([&] { read_video(folder / "empty"); }, {"frame_00000.png"});
}

BOOST_AUTO_TEST_SUITE_END()
