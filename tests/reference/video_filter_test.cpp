// What is done to frames before they are written: their middle is kept, and they are averaged over time.
#define BOOST_TEST_MODULE video_filter
#include <cstdio>

extern "C" {
#include <libavutil/frame.h>
}

#include "io/frame_filter.hpp"
#include "support/refused.hpp"
#include "support/scratch_folder.hpp"
#include "support/video_samples.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

/// Of each frame the pixels from (top, left) on.
Buffer<float> middle_of(const Buffer<float>& pixels, VideoShape from, VideoShape to, int top, int left) {
  Buffer<float> result(index_t{3} * to.frames * to.height * to.width);
  float* place = result.begin();
  for (int frame = 0; frame < to.frames; ++frame)
    for (int row = 0; row < to.height; ++row)
      place = std::copy_n(view_of(pixels, from).pixel(frame, top + row, left), 3 * to.width, place);
  return result;
}

boost::test_tools::assertion_result has_filter(boost::unit_test::test_unit_id) {
  try {
    require_frame_filter("--denoise", denoise_filter);
    return true;
  } catch (const RequestError&) {
    return false;
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_middle_of_the_frames_is_written_as_if_there_were_no_more) {
  const ScratchFolder folder;
  constexpr VideoShape whole{3, 48, 64}, kept{3, 20, 36};
  const auto pixels = moving_pattern(whole), middle = middle_of(pixels, whole, kept, 14, 14);
  for (const std::string name : {"v.safetensors", "v.y4m", "v.mp4", "v.webm"})
    for (const Chroma chroma : {Chroma::yuv420, Chroma::yuv444}) {
      write_video(folder / name, pixels, whole, {.chroma = chroma, .crop = FrameCrop{36, 20}});
      write_video(folder / ("m" + name), middle, kept, {.chroma = chroma});
      BOOST_CHECK_MESSAGE(read_text(folder / name) == read_text(folder / ("m" + name)), name);
    }
  write_video(folder / "v/", pixels, whole, {.crop = FrameCrop{36, 20}});
  write_video(folder / "mv/", middle, kept);
  BOOST_CHECK(read_text(folder / "v/frame_00002.png") == read_text(folder / "mv/frame_00002.png"));
}

BOOST_AUTO_TEST_CASE(the_middle_begins_at_an_even_pixel) {
  const ScratchFolder folder;
  constexpr VideoShape whole{1, 32, 32}, kept{1, 26, 30};
  const auto pixels = moving_pattern(whole);
  write_video(folder / "v.safetensors", pixels, whole, {.crop = FrameCrop{30, 26}});
  write_video(folder / "m.safetensors", middle_of(pixels, whole, kept, 2, 0), kept);
  BOOST_CHECK(read_text(folder / "v.safetensors") == read_text(folder / "m.safetensors"));
}

BOOST_AUTO_TEST_CASE(the_releases_crop_is_around_the_centre) {
  const ScratchFolder folder;
  constexpr VideoShape whole{1, 544, 992}, kept{1, 540, 960};
  const auto pixels = moving_pattern(whole);
  write_video(folder / "v.safetensors", pixels, whole, {.crop = FrameCrop{960, 540}});
  write_video(folder / "m.safetensors", middle_of(pixels, whole, kept, 2, 16), kept);
  BOOST_CHECK(read_text(folder / "v.safetensors") == read_text(folder / "m.safetensors"));
}

BOOST_AUTO_TEST_CASE(sizes_that_cannot_be_kept_are_refused) {
  BOOST_CHECK((parse_frame_crop("--crop", "960x540") == FrameCrop{960, 540}));
  BOOST_CHECK_EQUAL(to_string(FrameCrop{960, 540}), "960x540");
  for (const char* const text : {"", "960", "960x", "x540", "961x540", "960x541", "0x2", "-2x2", "960x540x2",
                                 "960 x 540", "2x4294967298"})
    check_refused([&] { parse_frame_crop("--crop", text); }, "as in 960x540");
  const ScratchFolder folder;
  const auto refuse = [&](FrameCrop crop, const char* phrase) {
    check_refused(
        [&] {
          require_video_fits("--output", folder / "v.mp4", {17, 32, 48}, {.crop = crop});
        },
        phrase);
  };
  refuse({50, 32}, "--crop: 50x32 does not lie in a frame of 48x32");
  refuse({48, 34}, "--crop: 48x34");
  require_video_fits("--output", folder / "v.mp4", {17, 32, 48}, {.crop = FrameCrop{48, 32}});
}

BOOST_AUTO_TEST_CASE(averages_are_refused_where_there_is_no_encoder_of_motion_or_no_motion) {
  const ScratchFolder folder;
  for (const char* const name : {"v.safetensors", "v.y4m", "v.gif", "v.webp", "v/"})
    check_refused(
        [&] {
          require_video_fits("--output", folder / name, {17, 32, 32}, {.denoises = true});
        },
        "--denoise: frames are filtered on their way into .mp4");
  check_refused(
      [&] {
        require_video_fits("--output", folder / "v.mp4", {1, 32, 32}, {.denoises = true});
      },
      "there is one frame");
}

BOOST_AUTO_TEST_SUITE(averages, *boost::unit_test::precondition(has_filter))

/// The same picture in every frame, with noise of its own in each.
constexpr VideoShape shape{34, 64, 96};
Buffer<float> noisy_picture() {
  std::mt19937 engine(3);
  auto pixels = random_normal<float>(index_t{3} * shape.frames * shape.height * shape.width, engine, 0.04f);
  const auto picture = moving_pattern({1, shape.height, shape.width});
  for (index_t i = 0; i < pixels.size(); ++i) pixels[i] += 0.5f * picture[i % picture.size()];
  return pixels;
}

/// The mean square of what changes from one frame to the next.
double unrest(const Video& video) {
  const index_t size = index_t{3} * shape.height * shape.width;
  double sum = 0;
  for (index_t i = size; i < video.pixels.size(); ++i)
    sum += std::pow(video.pixels[i] - video.pixels[i - size], 2);
  return sum / static_cast<double>(video.pixels.size() - size);
}

BOOST_AUTO_TEST_CASE(noise_goes_and_every_frame_stays) {
  const ScratchFolder folder;
  const auto pixels = noisy_picture();
  for (const std::string name : {"v.mp4", "v.mkv", "v.webm"}) {
    write_video(folder / name, pixels, shape);
    const Video plain = read_video(folder / name);
    write_video(folder / name, pixels, shape, {.denoises = true});
    const Video quiet = read_video(folder / name);
    BOOST_CHECK(quiet.shape == shape);
    BOOST_CHECK_MESSAGE(unrest(quiet) < 0.3 * unrest(plain),
                        name << ": " << unrest(quiet) << " of " << unrest(plain));
  }
}

BOOST_AUTO_TEST_CASE(the_filter_is_ffmpegs, *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  constexpr int width = 96, height = 64, bytes = width * height * 3 / 2, frames = 20;
  std::mt19937 engine(4);
  std::string raw;
  for (int i = 0; i < frames * bytes; ++i)
    raw.push_back(static_cast<char>(120 + i % bytes % 40 + static_cast<int>(engine() % 9)));
  folder.write("in.yuv", raw);
  const std::string expected =
      output_of("ffmpeg -f rawvideo -pix_fmt yuv420p -s 96x64 -i '" + (folder / "in.yuv").string() +
                "' -vf atadenoise=0a=0.1:0b=0.1:1a=0.1:1b=0.1 -f rawvideo -pix_fmt yuv420p -");

  const std::unique_ptr<AVFrame, void (*)(AVFrame*)> in(av_frame_alloc(),
                                                        [](AVFrame*f) { av_frame_free(&f); }),
      out(av_frame_alloc(), [](AVFrame*f) { av_frame_free(&f); });
  in->format = AV_PIX_FMT_YUV420P, in->width = width, in->height = height;
  BOOST_REQUIRE_EQUAL(av_frame_get_buffer(in.get(), 0), 0);
  const auto each_row = [](AVFrame& frame, auto&& visit) {
    for (int plane = 0; plane < 3; ++plane)
      for (int row = 0; row < (plane == 0 ? height : height / 2); ++row)
        visit(frame.data[plane] + row * frame.linesize[plane], plane == 0 ? width : width / 2);
  };
  const auto filter = open_frame_filter("v.mp4", denoise_chain, "yuv420p", *in, {});
  std::string filtered;
  const auto take = [&] {
    for (; filter->pull(out.get()); av_frame_unref(out.get()))
      each_row(*out, [&](const std::uint8_t* row, int count) {
        filtered.append(reinterpret_cast<const char*>(row), static_cast<std::size_t>(count));
      });
  };
  const char* next = raw.data();
  for (int i = 0; i < frames; ++i) {
    BOOST_REQUIRE_EQUAL(av_frame_make_writable(in.get()), 0);
    each_row(*in, [&](std::uint8_t* row, int count) {
      std::copy_n(next, count, row);
      next += count;
    });
    in->pts = i;
    filter->push(in.get());
    take();
  }
  filter->push(nullptr);
  take();
  BOOST_CHECK_EQUAL(filtered.size(), raw.size());
  BOOST_CHECK(filtered == expected);
  BOOST_CHECK(filtered != raw);
}

BOOST_AUTO_TEST_CASE(a_filter_that_is_not_there_is_named) {
  check_refused([] { require_frame_filter("--denoise", "nosuchfilter"); },
                "--denoise needs the filter nosuchfilter");
}

BOOST_AUTO_TEST_SUITE_END()
