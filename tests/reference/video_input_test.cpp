// Videos as the world makes them: what ffmpeg writes is read right, or refused in one sentence.
#define BOOST_TEST_MODULE video_input
#include "io/manifest.hpp"
#include "io/video_fit.hpp"
#include "support/program.hpp"
#include "support/video_samples.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

/// ffmpeg ARGUMENTS NAME, in the folder; the input bars.y4m holds the colour bars.
struct Ffmpeg {
  ScratchFolder folder;

  Ffmpeg() { write_video(folder / "bars/", colour_bars(), bars_shape); }
  std::filesystem::path make(const std::string& arguments, const std::string& name) const {
    const std::string command =
        "cd '" + folder.path().string() + "' && ffmpeg -v error -y " + arguments + " " + name + " </dev/null";
    BOOST_REQUIRE_EQUAL(std::system(command.c_str()), 0);
    return folder / name;
  }
  std::filesystem::path bars(const std::string& arguments, const std::string& name) const {
    return make("-framerate 25 -i bars/frame_%05d.png -sws_flags accurate_rnd+full_chroma_int " + arguments,
                name);
  }
};

void check_bars(const std::filesystem::path& path, int allowed = 2) {
  const Video video = read_video(path);
  BOOST_REQUIRE(video.shape == bars_shape);
  const int worst = worst_level(rgb_of(video));
  BOOST_CHECK_MESSAGE(worst <= allowed, path.filename() << ": " << worst << " levels");
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(what_ffmpeg_writes, Ffmpeg, *boost::unit_test::precondition(has_ffmpeg))

BOOST_AUTO_TEST_CASE(matrix_and_range_are_taken_from_the_tags) {
  const std::string x264 = " -c:v libx264 -qp 0 -preset ultrafast";
  check_bars(
      bars("-vf scale=out_color_matrix=bt601:out_range=limited,format=yuv420p -colorspace smpte170m "
           "-color_range tv" +
               x264,
           "sd.mp4"));
  check_bars(
      bars("-vf scale=out_color_matrix=bt709:out_range=limited,format=yuv420p -colorspace bt709 "
           "-color_range tv" +
               x264,
           "hd.mp4"));
  check_bars(
      bars("-vf scale=out_color_matrix=bt709:out_range=full,format=yuv420p -colorspace bt709 "
           "-color_range pc" +
               x264,
           "full.mp4"));
  check_bars(
      bars("-vf scale=out_color_matrix=bt601:out_range=full,format=yuvj420p -c:v mjpeg -q:v 1", "j.avi"), 4);
  check_bars(bars("-vf format=gbrp -c:v libx264rgb -qp 0", "rgb.mkv"), 0);
}
BOOST_AUTO_TEST_CASE(an_untagged_video_is_read_as_players_do) {
  check_bars(bars("-vf scale=out_color_matrix=bt601,format=yuv444p -c:v ffv1", "untagged.mkv"));
}
BOOST_AUTO_TEST_CASE(ten_bits_are_read) {
  check_bars(
      bars("-vf scale=out_color_matrix=bt709:out_range=limited,format=yuv420p10 -colorspace bt709 "
           "-color_range tv -c:v libx264 -qp 0 -preset ultrafast",
           "ten.mp4"));
}
BOOST_AUTO_TEST_CASE(sixteen_bit_and_grey_pngs_keep_their_values) {
  make("-f lavfi -i nullsrc=size=16x16,format=gbrp16,geq=r=33000:g=1:b=65535 -frames:v 1 -pix_fmt rgb48be",
       "deep.png");
  const Video deep = read_video(folder / "deep.png");
  BOOST_CHECK(deep.shape == (VideoShape{1, 16, 16}));
  for (const auto& [channel, level] : {std::pair{0, 33000.0f}, {1, 1.0f}, {2, 65535.0f}})
    BOOST_CHECK_SMALL(deep.pixels[channel] - (level / 32767.5f - 1), 1e-6f);
  make("-f lavfi -i nullsrc=size=16x16,format=gray,geq=lum=100 -frames:v 1 -pix_fmt gray", "grey.png");
  const Video grey = read_video(folder / "grey.png");
  for (int channel = 0; channel < 3; ++channel)
    BOOST_CHECK_EQUAL(std::lround((grey.pixels[channel] + 1) * 127.5f), 100);
}
BOOST_AUTO_TEST_CASE(odd_sizes_and_one_frame_are_read) {
  BOOST_CHECK(
      read_video(make("-f lavfi -i testsrc=size=35x51 -frames:v 1 -pix_fmt yuv444p", "odd.mp4")).shape ==
      (VideoShape{1, 51, 35}));
  BOOST_CHECK(
      read_video(make("-f lavfi -i testsrc=size=35x51 -frames:v 3 -pix_fmt yuv420p", "odd.webm")).shape ==
      (VideoShape{3, 51, 35}));
}
BOOST_AUTO_TEST_CASE(a_video_marked_as_turned_is_read_upright) {
  // Left half red, right half blue, stored upright and lying on either side.
  make(
      "-f lavfi -i color=red:size=32x48 -f lavfi -i color=blue:size=32x48 -filter_complex hstack -frames:v 2 "
      "-pix_fmt yuv444p",
      "plain.mp4");
  const auto colour = [&](const Video& video, int row, int column) {
    const float* const pixel = video.view().pixel(0, row, column);
    return pixel[0] > 0 ? 'r' : pixel[2] > 0 ? 'b' : '?';
  };
  const Video plain = read_video(folder / "plain.mp4");
  BOOST_CHECK_EQUAL(colour(plain, 24, 8), 'r');
  for (const auto& [degrees, first] : {std::pair{90, 'b'}, {270, 'r'}}) {
    const Video turned = read_video(
        make("-i plain.mp4 -c copy -metadata:s:v rotate=" + std::to_string(degrees), "turned.mp4"));
    BOOST_CHECK(turned.shape == (VideoShape{2, 64, 48}));
    BOOST_CHECK_EQUAL(colour(turned, 8, 24), first);
    // ffmpeg turns by itself too: the same picture.
    const auto rgb = output_of("ffmpeg -v error -i '" + (folder / "turned.mp4").string() +
                               "' -f rawvideo -pix_fmt rgb24 -");
    BOOST_REQUIRE_EQUAL(rgb.size(), static_cast<std::size_t>(turned.pixels.size()));
    const auto at = static_cast<std::size_t>((8 * 48 + 24) * 3);
    BOOST_CHECK_EQUAL(static_cast<unsigned char>(rgb[at]) > 128 ? 'r' : 'b', first);
  }
  const Video over = read_video(make("-i plain.mp4 -c copy -metadata:s:v rotate=180", "over.mp4"));
  BOOST_CHECK(over.shape == plain.shape);
  BOOST_CHECK_EQUAL(colour(over, 24, 8), 'b');
}
BOOST_AUTO_TEST_CASE(frames_are_taken_at_even_times_when_a_rate_is_asked_for) {
  // Frame n is grey 10 n.
  const std::string ramp = "-f lavfi -i \"color=black:size=16x16:rate=10,geq=lum=10*N+16:cb=128:cr=128\" ";
  make(ramp + "-frames:v 10 -pix_fmt yuv444p -c:v libx264 -qp 0", "ten.mp4");
  const Video ten = read_video(folder / "ten.mp4");
  BOOST_CHECK(ten.rate == std::optional(FrameRate{10, 1}));
  BOOST_CHECK_EQUAL(ten.shape.frames, 10);
  const auto frame_of = [&](const Video& video, int frame) {
    const float level = *video.view().pixel(frame, 8, 8);
    int nearest = 0;
    for (int candidate = 0; candidate < 10; ++candidate)
      if (std::abs(*ten.view().pixel(candidate, 8, 8) - level) <
          std::abs(*ten.view().pixel(nearest, 8, 8) - level))
        nearest = candidate;
    return nearest;
  };
  const Video twice = read_video(folder / "ten.mp4", FrameRate{20, 1});
  BOOST_REQUIRE_EQUAL(twice.shape.frames, 20);
  for (int frame = 0; frame < 20; ++frame) BOOST_CHECK_EQUAL(frame_of(twice, frame), frame / 2);
  const Video half = read_video(folder / "ten.mp4", FrameRate{5, 1});
  BOOST_REQUIRE_EQUAL(half.shape.frames, 5);
  for (int frame = 0; frame < 5; ++frame) BOOST_CHECK_EQUAL(frame_of(half, frame), frame * 2);
  BOOST_CHECK(half.rate == std::optional(FrameRate{5, 1}));

  // Frames 5 and on come half a second late.
  make(ramp +
           "-frames:v 10 -vf \"setpts=PTS+gte(N\\,5)*0.5/TB\" -fps_mode vfr -pix_fmt yuv444p -c:v libx264 "
           "-qp 0",
       "uneven.mp4");
  check_refused([&] { read_video(folder / "uneven.mp4"); },
                {"varies", "frame 4", "600 ms", "100 ms", "--fps"});
  const Video even = read_video(folder / "uneven.mp4", FrameRate{10, 1});
  BOOST_REQUIRE_EQUAL(even.shape.frames, 15);
  for (int frame = 0; frame < 15; ++frame)
    BOOST_CHECK_EQUAL(frame_of(even, frame), frame < 5 ? frame : std::max(4, frame - 5));
}
BOOST_AUTO_TEST_CASE(timestamps_in_milliseconds_are_even_enough) {
  const Video video =
      read_video(make("-f lavfi -i testsrc=size=16x16:rate=30 -frames:v 31 -c:v ffv1", "ms.mkv"));
  BOOST_CHECK(video.rate == std::optional(FrameRate{30, 1}));
  BOOST_CHECK_EQUAL(read_video(folder / "ms.mkv", FrameRate{30, 1}).shape.frames, 31);
}
BOOST_AUTO_TEST_CASE(files_without_a_video_are_refused) {
  make("-f lavfi -i sine=duration=0.2", "sound.m4a");
  check_refused([&] { read_video(folder / "sound.m4a"); }, {"sound.m4a", "holds no video"});
  make("-i sound.m4a -i bars/frame_00000.png -map 0 -map 1 -c copy -disposition:v:0 attached_pic",
       "cover.m4a");
  check_refused([&] { read_video(folder / "cover.m4a"); }, {"cover.m4a", "holds no video"});
  check_refused([&] { read_video(folder.write("nothing.mp4", "")); }, {"nothing.mp4"});
}
BOOST_AUTO_TEST_CASE(a_file_that_is_cut_short_is_refused_wherever_it_was_cut) {
  for (const std::string name : {"v.mp4", "v.webm", "v.y4m"}) {
    write_video(folder / name, moving_pattern({34, 64, 64}), {34, 64, 64});
    const auto whole = std::filesystem::file_size(folder / name);
    for (const int percent : {99, 80, 50, 20, 5}) {
      write_video(folder / name, moving_pattern({34, 64, 64}), {34, 64, 64});
      std::filesystem::resize_file(folder / name, whole * static_cast<unsigned>(percent) / 100);
      try {  // a webm's index, which nobody needs for reading it through, stands at its end
        const int frames = read_video(folder / name).shape.frames;
        BOOST_CHECK_MESSAGE(name == "v.webm" && percent == 99 && frames == 34,
                            name << " " << percent << " % was read: " << frames);
      } catch (const RequestError& error) {
        BOOST_TEST_MESSAGE(error.what());
      }
    }
  }
}
BOOST_AUTO_TEST_CASE(pictures_of_every_kind_are_read_by_their_content) {
  for (const std::string name : {"p.png", "p.jpg", "p.tiff", "p.bmp", "p.webp"}) {
    const auto path = bars("-frames:v 1", name);
    for (const auto& [as, bytes] :
         {std::pair{name, std::string()}, {"without_ending", ""}, {"longer" + name, std::string(100, 'x')}}) {
      const Video video = read_video(folder.write(as, read_text(path) + bytes));
      BOOST_CHECK_MESSAGE(video.shape == (VideoShape{1, 64, 256}) && !video.rate, as);
      BOOST_CHECK_MESSAGE(worst_level(rgb_of(video)) <= 6, as << ": " << worst_level(rgb_of(video)));
    }
    const std::string whole = read_text(path);
    check_refused([&] { read_video(folder.write("cut_" + name, whole.substr(0, whole.size() * 2 / 3))); },
                  {"cut_" + name});
  }
  // A photograph with a smaller picture behind it, as phones write them.
  bars("-frames:v 1 -vf scale=64:16", "small.jpg");
  BOOST_CHECK(
      (read_video(folder.write("phone.jpg", read_text(folder / "p.jpg") + read_text(folder / "small.jpg")))
           .shape == VideoShape{1, 64, 256}));
}
BOOST_AUTO_TEST_CASE(a_last_frame_that_is_held_is_no_cut) {
  // 17 frames at 10 a second, the last of them for 3 s. The mp4 says of the whole 85/23 frames a second.
  for (const auto& [name, at_its_rate] : {std::pair{"held.mkv", 17}, {"held.webm", 17}, {"held.mp4", 46}}) {
    const std::filesystem::path path = std::filesystem::path(STEPVIDEO_TEST_DATA "/videos") / name;
    BOOST_CHECK_EQUAL(read_video(path).shape.frames, 17);
    BOOST_CHECK_EQUAL(read_video(path, FrameRate{10}).shape.frames, at_its_rate);
    BOOST_CHECK_EQUAL(read_video(path, FrameRate{5}).shape.frames, 23);
    const std::string bytes = read_text(path);
    check_refused([&] { read_video(folder.write(name, bytes.substr(0, bytes.size() * 3 / 5))); }, {name});
  }
}
BOOST_AUTO_TEST_CASE(a_frame_without_bytes_or_without_a_time_is_shown_all_the_same) {
  const std::filesystem::path data = STEPVIDEO_TEST_DATA "/videos";
  for (const auto& [name, frames] : {std::pair{"empty_sample.mov", 34}, {"no_last_times.mpg", 17}})
    for (const auto rate : {std::optional<FrameRate>(), std::optional(FrameRate{25})})
      BOOST_CHECK_MESSAGE(read_video(data / name, rate).shape.frames == frames,
                          name << ": " << read_video(data / name, rate).shape.frames);
  const Video video = read_video(data / "empty_sample.mov");
  const index_t frame = index_t{3} * video.shape.height * video.shape.width;
  const float* const ninth = video.pixels.data() + 9 * frame;
  BOOST_CHECK(std::equal(ninth, ninth + frame, ninth + frame));       // kept
  BOOST_CHECK(!std::equal(ninth, ninth + frame, ninth + 2 * frame));  // and then the next
}
BOOST_AUTO_TEST_CASE(times_may_begin_before_zero_or_late) {
  for (const std::string offset : {"-0.5", "-0.06", "3.2", "7200"}) {
    bars("-c:v mpeg4 -avoid_negative_ts disabled -output_ts_offset " + offset, "offset.mkv");
    for (const auto rate : {std::optional<FrameRate>(), std::optional(FrameRate{25})})
      BOOST_CHECK_MESSAGE((read_video(folder / "offset.mkv", rate).shape == bars_shape), offset);
  }
}
BOOST_AUTO_TEST_CASE(a_video_comes_through_a_pipe) {
  bars("-pix_fmt yuv444p", "v.y4m");
  const std::string pipe = (folder / "pipe").string(), encoded = (folder / "latents.safetensors").string();
  const auto result = run_program(
      {"encode", "--model", STEPVIDEO_DEMO_MODEL, "--quiet", "--video", pipe, "--output", encoded},
      "mkfifo '" + pipe + "'; cat '" + (folder / "v.y4m").string() + "' >'" + pipe + "' &");
  BOOST_CHECK_MESSAGE(result.exit_code == 0 && std::filesystem::exists(encoded), result.errors);
}
BOOST_AUTO_TEST_CASE(damaged_bytes_are_refused_or_read_but_never_crash) {
  write_video(folder / "v.mp4", moving_pattern({17, 64, 64}), {17, 64, 64});
  const std::string whole = read_text(folder / "v.mp4");
  std::mt19937 engine(3);
  for (int trial = 0; trial < 40; ++trial) {
    std::string broken = whole;
    for (int i = 0; i < 8; ++i) broken[engine() % broken.size()] = static_cast<char>(engine());
    try {
      read_video(folder.write("broken.mp4", broken));
    } catch (const Error& error) {
      BOOST_CHECK_EQUAL(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}
BOOST_AUTO_TEST_CASE(a_playlist_opens_no_other_file) {
  bars("-c:v libx264 -pix_fmt yuv420p -f mpegts", "x.ts");
  BOOST_CHECK(read_video(folder / "x.ts").shape == bars_shape);  // by itself it is a video
  const std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n";
  for (const auto& [name, text] : {std::pair{"list.m3u8", list + "http://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"},
                                   {"near.m3u8", list + "x.ts\n#EXT-X-ENDLIST\n"},
                                   {"near.mp4", list + "x.ts\n#EXT-X-ENDLIST\n"},
                                   {"joined.mp4", std::string("ffconcat version 1.0\nfile x.ts\n")},
                                   {"itself.mp4", std::string("ffconcat version 1.0\nfile itself.mp4\n")}}) {
    const auto path = folder.write(name, text);
    check_refused([&] { read_video(path); }, {name, "cannot be read as a video"});
    check_refused([&] { detail::read_container_comment(path); }, {name, "cannot be read as a video"});
  }
  check_refused([&] { read_video(folder / "bars/frame_%05d.png"); }, {"frame_%05d.png"});
}
BOOST_AUTO_TEST_CASE(hdr_is_refused) {
  bars("-vf format=yuv420p10 -c:v libx264 -color_trc smpte2084 -color_primaries bt2020 -colorspace bt2020nc",
       "hdr.mp4");
  check_refused([&] { read_video(folder / "hdr.mp4"); }, {"HDR", "smpte2084", "zscale"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(fit)

/// Every pixel names its frame, row and column.
Video numbered(VideoShape shape) {
  Video video{shape, Buffer<float>(index_t{3} * shape.frames * shape.height * shape.width)};
  for (int frame = 0; frame < shape.frames; ++frame)
    for (int row = 0; row < shape.height; ++row)
      for (int column = 0; column < shape.width; ++column) {
        float* const pixel =
            video.pixels.data() + ((index_t{frame} * shape.height + row) * shape.width + column) * 3;
        pixel[0] = static_cast<float>(frame);
        pixel[1] = static_cast<float>(row);
        pixel[2] = static_cast<float>(column);
      }
  return video;
}

void check_pixel(const Video& video, int frame, int row, int column, std::array<float, 3> expected) {
  const float* const pixel = video.view().pixel(frame, row, column);
  for (std::size_t i = 0; i < 3; ++i) BOOST_CHECK_EQUAL(pixel[i], expected[i]);
}

BOOST_AUTO_TEST_CASE(crop_keeps_the_middle_and_drops_the_last_frames) {
  const Video video = fit_video(numbered({20, 37, 48}), Fit::crop);
  BOOST_CHECK(video.shape == (VideoShape{17, 32, 48}));
  check_pixel(video, 0, 0, 0, {0, 2, 0});
  check_pixel(video, 16, 31, 47, {16, 33, 47});
  BOOST_CHECK(fit_video(numbered({16, 16, 16}), Fit::crop).shape == (VideoShape{1, 16, 16}));
}
BOOST_AUTO_TEST_CASE(pad_repeats_edges_and_the_last_frame) {
  const Video video = fit_video(numbered({2, 37, 48}), Fit::pad);
  BOOST_CHECK(video.shape == (VideoShape{17, 48, 48}));
  check_pixel(video, 0, 0, 0, {0, 0, 0});
  check_pixel(video, 0, 5, 0, {0, 0, 0});
  check_pixel(video, 1, 6, 7, {1, 1, 7});
  check_pixel(video, 16, 47, 47, {1, 36, 47});
}
BOOST_AUTO_TEST_CASE(a_padded_frame_cropped_to_its_size_is_itself) {
  for (const int height : {17, 30, 31, 32}) {
    const int padded = fitted_shape({1, height, 16}, Fit::pad).height;
    const Video video = fit_video(numbered({1, height, 16}), Fit::pad);
    BOOST_CHECK_EQUAL(*(video.view().pixel(0, (padded - height) / 2, 0) + 1), 0);
    BOOST_CHECK_EQUAL(*(video.view().pixel(0, (padded - height) / 2 + height - 1, 0) + 1), height - 1);
  }
}
BOOST_AUTO_TEST_CASE(what_is_on_the_grid_stays) {
  for (const Fit fit : {Fit::crop, Fit::pad}) {
    BOOST_CHECK(fitted_shape({34, 64, 96}, fit) == (VideoShape{34, 64, 96}));
    BOOST_CHECK(fitted_shape({1, 16, 16}, fit) == (VideoShape{1, 16, 16}));
  }
}
BOOST_AUTO_TEST_CASE(what_cannot_be_fitted_is_refused) {
  check_refused([] { fitted_shape({17, 9, 64}, Fit::crop); }, {"64x9", "--fit pad"});
  check_refused([] { parse_fit("--fit", "stretch"); }, {"--fit", "stretch", "crop"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(a_video_off_the_grid_is_fitted_encoded_and_decoded_at_its_own_rate) {
  const ScratchFolder folder;
  const std::string video = (folder / "in.y4m").string(), latents = (folder / "l.safetensors").string(),
                    output = (folder / "out.mp4").string(), model = STEPVIDEO_DEMO_MODEL;
  write_video(video, moving_pattern({18, 40, 32}), {18, 40, 32}, {.rate = {30000, 1001}});
  const std::vector<std::string> encode = {"encode", "--model", model, "--video", video, "--output", latents};
  const auto refused = run_program(encode);
  BOOST_CHECK_EQUAL(refused.exit_code, 2);
  for (const char* const part : {"18 frames of 32x40", "17 frames of 32x48", "--fit crop"})
    BOOST_CHECK_MESSAGE(refused.errors.find(part) != std::string::npos, refused.errors);
  BOOST_CHECK(!std::filesystem::exists(latents));
  auto with_fit = encode;
  with_fit.insert(with_fit.end(), {"--fit", "crop"});
  const auto fitted = run_program(with_fit);
  BOOST_REQUIRE_EQUAL(fitted.exit_code, 0);
  BOOST_CHECK_NE(fitted.errors.find("at 30000/1001 frames a second becomes 17 frames of 32x32"),
                 std::string::npos);
  const std::vector<std::string> decode = {"decode", "--model", model,     "--latents",
                                           latents,  "--quiet", "--output"};
  const auto decoded = [&](std::vector<std::string> more) {
    more.insert(more.begin(), decode.begin(), decode.end());
    const auto result = run_program(more);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    return read_video(output);
  };
  const Video kept = decoded({output});
  BOOST_CHECK(kept.shape == (VideoShape{17, 32, 32}));
  BOOST_CHECK(kept.rate == std::optional(FrameRate{30000, 1001}));
  BOOST_CHECK_EQUAL(read_manifest(latents).value().value("fit", ""), "crop");
  BOOST_CHECK(!read_manifest(latents)->contains("fps"));
  BOOST_CHECK(!read_manifest(output)->contains("fps"));
  BOOST_CHECK(decoded({output, "--fps", "12.5", "--chroma", "444"}).rate == std::optional(FrameRate{25, 2}));
  BOOST_CHECK_EQUAL(read_manifest(output).value().value("fps", ""), "12.5");
  BOOST_CHECK_EQUAL(read_manifest(output)->value("chroma", ""), "444");

  // What another program wrote there matters only where nobody asks for a rate.
  std::string bytes = read_text(latents);
  bytes.replace(bytes.find("30000/1001"), 10, "a thousand");
  folder.write("l.safetensors", bytes);
  auto without_rate = decode;
  without_rate.push_back(output);
  const auto nonsense = run_program(without_rate);
  BOOST_CHECK_EQUAL(nonsense.exit_code, 2);
  BOOST_CHECK_NE(nonsense.errors.find("a thousand"), std::string::npos);
  BOOST_CHECK(decoded({output, "--fps", "8"}).rate == std::optional(FrameRate{8, 1}));
}
BOOST_AUTO_TEST_CASE(a_rate_that_decode_would_refuse_is_told_and_not_kept) {
  const ScratchFolder folder;
  const std::string video = (folder / "in.y4m").string(), latents = (folder / "l.safetensors").string(),
                    output = (folder / "out.y4m").string(), model = STEPVIDEO_DEMO_MODEL;
  write_video(video, moving_pattern({1, 16, 16}), {1, 16, 16}, {.rate = {2000, 1}});
  const auto encoded =
      run_program({"encode", "--model", model, "--video", video, "--output", latents, "--fps", "1000"});
  BOOST_REQUIRE_MESSAGE(encoded.exit_code == 0, encoded.errors);
  const auto told = run_program({"encode", "--model", model, "--video", video, "--output", latents});
  BOOST_REQUIRE_MESSAGE(told.exit_code == 0, told.errors);
  BOOST_CHECK_NE(told.errors.find("at 2000 frames a second (which is not kept"), std::string::npos);
  const auto decoded =
      run_program({"decode", "--model", model, "--latents", latents, "--quiet", "--output", output});
  BOOST_REQUIRE_MESSAGE(decoded.exit_code == 0, decoded.errors);
  BOOST_CHECK(read_video(output).rate == std::optional(FrameRate{}));
}
BOOST_AUTO_TEST_CASE(a_generated_video_has_the_rate_asked_for_and_like_repeats_it) {
  const ScratchFolder folder;
  const auto generate = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", "--quiet", "--output"});
    const auto result = run_program(more);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  };
  const std::string first = (folder / "a.mp4").string(), second = (folder / "b.mp4").string();
  generate(
      {first, "--model", STEPVIDEO_DEMO_MODEL, "--prompt", "a red circle", "--steps", "1", "--fps", "12"});
  generate({second, "--like", first});
  for (const std::string& video : {first, second})
    BOOST_CHECK(read_video(video).rate == std::optional(FrameRate{12, 1}));
}
BOOST_AUTO_TEST_CASE(frame_rates_are_read_as_people_write_them) {
  const auto rate = [](const char* text) { return parse_frame_rate("--fps", text); };
  BOOST_CHECK((rate("25") == FrameRate{25, 1}));
  BOOST_CHECK((rate("12.5") == FrameRate{25, 2}));
  BOOST_CHECK((rate("23.976") == FrameRate{24000, 1001}));
  BOOST_CHECK((rate("29.97") == FrameRate{30000, 1001}));
  BOOST_CHECK((rate("59.94") == FrameRate{60000, 1001}));
  BOOST_CHECK((rate("60000/2002") == FrameRate{30000, 1001}));
  for (const char* const bad :
       {"", "0", "-5", "nan", "inf", "1/0", "0/1", "25fps", "1e9", "1001", "25/", "0.001"})
    check_refused([&] { rate(bad); }, {"--fps", "30000/1001"});
}
