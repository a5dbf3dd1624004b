// What the video is going to be, while it is made.
#define BOOST_TEST_MODULE preview
#include "pipeline/preview.hpp"

#include <sstream>

#include "io/video.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::pipeline;
using namespace stepvideo::testing;

namespace {

Picture plain(int height, int width, float value) {
  Picture picture{height, width, Buffer<float>(index_t{3} * height * width)};
  std::ranges::fill(picture.pixels, value);
  return picture;
}

/// Latents and velocities of 6 frames, 2 channels, 1x1.
struct Flow {
  Latents latents{{6, 1, 1}, 2, Buffer<float>(12)};
  Buffer<float> velocities = Buffer<float>(24);

  Flow() {
    for (int i = 0; i < 12; ++i) {
      latents.values[i] = static_cast<float>(i);
      velocities[i] = 3;       // the prompt's
      velocities[12 + i] = 1;  // the negative prompt's
    }
  }
  StepState step(int step, int steps) const {
    return {step, steps, 0.5f, 2.0f, latents, {velocities.data(), 2, 2, {6, 1, 1}}};
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_estimate_follows_the_guided_velocity_to_the_end) {
  const Flow flow;
  // v = 1 + 2 (3 - 1) = 5, and half of the way is left.
  const Latents estimate = estimate_frame(flow.latents, flow.step(1, 2).velocities, 0.5f, 2.0f, 3);
  BOOST_REQUIRE_EQUAL(estimate.size(), 2);
  BOOST_CHECK_EQUAL(estimate.values[0], 6 + 2.5f);
  BOOST_CHECK_EQUAL(estimate.values[1], 7 + 2.5f);
  BOOST_CHECK_EQUAL(estimate_frame(flow.latents, flow.step(1, 2).velocities, 1.0f, 2.0f, 3).values[0], 6);
}
BOOST_AUTO_TEST_CASE(a_long_video_is_shown_by_the_first_frames_of_chunks_from_begin_to_end) {
  BOOST_CHECK((preview_frames({1, 8, 8}, 4) == std::vector<int>{0}));
  BOOST_CHECK((preview_frames({3, 8, 8}, 4) == std::vector<int>{0}));
  BOOST_CHECK((preview_frames({9, 8, 8}, 4) == std::vector<int>{0, 3, 6}));
  BOOST_CHECK((preview_frames({36, 8, 8}, 4) == std::vector<int>{0, 9, 21, 33}));
}
BOOST_AUTO_TEST_CASE(half_blocks_hold_two_pixels_of_24_bits_each) {
  Picture picture = plain(2, 2, -1);
  for (int channel = 0; channel < 3; ++channel) picture.pixels[channel] = 1;  // top left is white
  picture.pixels[9 + 0] = 1;                                                  // bottom right is red
  const auto lines = half_blocks(picture, 80, 24);
  BOOST_REQUIRE_EQUAL(lines.size(), 1u);
  BOOST_CHECK_EQUAL(lines[0], "\x1b[38;2;255;255;255m\x1b[48;2;0;0;0m▀\x1b[38;2;0;0;0m\x1b[48;2;255;0;0m▀");
}
BOOST_AUTO_TEST_CASE(a_picture_is_scaled_to_the_terminal_and_never_beyond_its_own_size) {
  const auto size = [](int height, int width, int columns, int rows) {
    const auto lines = half_blocks(plain(height, width, 0), columns, rows);
    std::size_t blocks = 0;
    for (std::size_t at = 0; (at = lines[0].find("▀", at)) != std::string::npos; ++at) ++blocks;
    return std::pair(lines.size(), blocks);
  };
  BOOST_CHECK(size(96, 96, 200, 60) == std::pair(48ul, 96ul));
  BOOST_CHECK(size(544, 992, 80, 24) == std::pair(21ul, 80ul));
  BOOST_CHECK(size(544, 992, 300, 10) == std::pair(10ul, 36ul));
  BOOST_CHECK(size(1, 1, 80, 24) == std::pair(1ul, 1ul));
  BOOST_CHECK(size(64, 64, 1, 1) == std::pair(1ul, 1ul));
}
BOOST_AUTO_TEST_CASE(pictures_stand_side_by_side) {
  std::vector<Picture> pictures;
  for (const float value : {0.25f, 0.5f}) pictures.push_back(plain(2, 3, value));
  const Picture row = side_by_side(pictures);
  BOOST_CHECK_EQUAL(row.height, 2);
  BOOST_CHECK_EQUAL(row.width, 7);
  const std::vector<float> expected = {0.25f, 0.25f, 0.25f, -1, 0.5f, 0.5f, 0.5f};
  for (std::size_t x = 0; x < 7; ++x)
    BOOST_CHECK_EQUAL(row.pixels[(7 + static_cast<index_t>(x)) * 3], expected[x]);
}
BOOST_AUTO_TEST_CASE(a_path_is_a_folder_or_a_pattern) {
  BOOST_CHECK_EQUAL((PreviewOptions{.every = 1, .path = "out"}.file(7).string()), "out/step_00007.png");
  BOOST_CHECK_EQUAL((PreviewOptions{.every = 1, .path = "out/a%03d.png"}.file(7).string()), "out/a007.png");
  BOOST_CHECK_EQUAL((PreviewOptions{.every = 1, .path = "a%d.png"}.file(1234).string()), "a1234.png");
}
BOOST_AUTO_TEST_CASE(paths_that_cannot_work_are_refused) {
  const ScratchFolder folder;
  const auto check = [&](const std::string& name) {
    PreviewOptions{.every = 2, .path = folder / name}.check();
  };
  for (const char* const bad :
       {"a%s.png", "a%d%d.png", "100%.png", "%999999999999d.png", "%n.png", "a%-5d.png"})
    check_refused([&] { check(bad); }, {"--preview-path", "%05d"});
  check_refused([&] { check("a%d.jpg"); }, {"--preview-path", ".png"});
  check_refused([&] { check("no/such/folder"); }, {"--preview-path", "does not exist"});
  folder.write("file", "");
  check_refused([&] { check("file"); }, {"is a file"});
  check_refused([] { PreviewOptions{.every = 2}.check(); }, {"--preview-path"});
  check_refused([] { PreviewOptions{.path = "x"}.check(); }, {"--preview-every"});
  check("new");
  check("new/");
  check("%05d.png");
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}
BOOST_AUTO_TEST_CASE(what_a_killed_run_left_of_a_preview_goes_with_the_next_one) {
  const ScratchFolder folder;
  for (const char* const name : {".step_00003.png.4194303-0.partial", ".a07.png.4194303-0.partial",
                                 ".photo.png.4194303-0.partial", ".a07.png"})
    folder.write(name, "half");
  PreviewOptions{.every = 2, .path = folder.path()}.check();
  PreviewOptions{.every = 2, .path = folder / "a%02d.png"}.check();
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);
  BOOST_CHECK(std::filesystem::exists(folder / ".photo.png.4194303-0.partial"));
  BOOST_CHECK(std::filesystem::exists(folder / ".a07.png"));
}
BOOST_AUTO_TEST_CASE(files_appear_every_so_many_steps_and_at_the_last) {
  const ScratchFolder folder;
  std::ostringstream text;
  Progress progress({.output = &text});
  Preview preview(
      {.every = 2, .path = folder / "p"},
      [](const Latents& frame) { return plain(16, 16, frame.values[0] / 100); }, progress);
  const Flow flow;
  progress.stage("denoise", 5, [&](Stage& stage) {
    for (int step = 1; step <= 5; ++step) preview.show(flow.step(step, 5), stage);
  });
  for (const char* const name : {"p/step_00002.png", "p/step_00004.png", "p/step_00005.png"})
    BOOST_CHECK(io::read_video(folder / name).shape == (VideoShape{1, 16, 33}));  // two chunks and a gap
  BOOST_CHECK(!std::filesystem::exists(folder / "p/step_00001.png"));
  BOOST_CHECK_EQUAL(text.str().find('\x1b'), std::string::npos);
}
BOOST_AUTO_TEST_CASE(a_pattern_without_a_folder_writes_where_we_are) {
  const ScratchFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::ostringstream text;
  Progress progress({.output = &text});
  const PreviewOptions options{.every = 1, .path = "step_%05d.png"};
  options.check();
  Preview preview(
      options, [](const Latents&) { return plain(16, 16, 0); }, progress);
  const Flow flow;
  progress.stage("denoise", 1, [&](Stage& stage) { preview.show(flow.step(1, 1), stage); });
  std::filesystem::current_path(before);
  BOOST_CHECK(std::filesystem::exists(folder / "step_00001.png"));
  BOOST_CHECK_EQUAL(text.str().find("no more previews"), std::string::npos);
}
BOOST_AUTO_TEST_CASE(in_a_terminal_a_picture_is_drawn_over_the_last_one) {
  std::ostringstream text;
  Progress progress({.output = &text, .terminal = Terminal::full});
  Preview preview(
      {.in_terminal = true}, [](const Latents&) { return plain(4, 4, 0); }, progress);
  const Flow flow;
  progress.stage("denoise", 2, [&](Stage& stage) {
    preview.show(flow.step(1, 2), stage);
    text.str("");
    preview.show(flow.step(2, 2), stage);
  });
  BOOST_CHECK_NE(text.str().find("\r\x1b[2A\x1b[J\x1b[38;2;128;128;128m"), std::string::npos);
  BOOST_CHECK_NE(text.str().find("denoise: 2 steps"), std::string::npos);  // the line below is back
}
BOOST_AUTO_TEST_CASE(a_preview_that_fails_is_told_once_and_the_run_goes_on) {
  const ScratchFolder folder;
  std::ostringstream text;
  Progress progress({.output = &text});
  int calls = 0;
  Preview preview(
      {.every = 1, .path = folder / "p"},
      [&](const Latents&) -> Picture {
        ++calls;
        throw Error("the disk is full");
      },
      progress);
  const Flow flow;
  progress.stage("denoise", 3, [&](Stage& stage) {
    for (int step = 1; step <= 3; ++step) preview.show(flow.step(step, 3), stage);
  });
  BOOST_CHECK_EQUAL(calls, 1);
  BOOST_CHECK_NE(text.str().find("warning: no more previews: the disk is full"), std::string::npos);
}
BOOST_AUTO_TEST_CASE(generate_writes_previews_and_the_same_video_as_without) {
  const ScratchFolder folder;
  const auto generate = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"generate", "--model",      STEPVIDEO_DEMO_MODEL,
                                          "--prompt", "a red circle", "--steps",
                                          "4",        "--output",     (folder / name).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  BOOST_REQUIRE_EQUAL(generate("a.y4m", {"--quiet"}).exit_code, 0);
  const auto watched =
      generate("b.y4m", {"--preview", "--preview-every", "2", "--preview-path", (folder / "p").string()});
  BOOST_REQUIRE_MESSAGE(watched.exit_code == 0, watched.errors);
  BOOST_CHECK_NE(watched.errors.find("--preview: this is no terminal"), std::string::npos);
  BOOST_CHECK_EQUAL(watched.errors.find('\x1b'), std::string::npos);
  BOOST_CHECK(read_text(folder / "a.y4m") == read_text(folder / "b.y4m"));
  BOOST_CHECK(io::read_video(folder / "p/step_00002.png").shape == (VideoShape{1, 96, 96}));
  // At the last step the estimate is the video.
  const io::Video last = io::read_video(folder / "p/step_00004.png"),
                  video = io::read_video(folder / "b.y4m");
  double difference = 0;
  for (index_t i = 0; i < last.pixels.size(); ++i) difference += std::abs(last.pixels[i] - video.pixels[i]);
  BOOST_CHECK_LT(difference / static_cast<double>(last.pixels.size()), 0.1);
  const auto refused = generate("c.y4m", {"--quiet", "--preview"});
  BOOST_CHECK_EQUAL(refused.exit_code, 2);
  BOOST_CHECK_NE(refused.errors.find("--preview"), std::string::npos);
}
