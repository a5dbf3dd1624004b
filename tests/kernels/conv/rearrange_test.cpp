#define BOOST_TEST_MODULE rearrange
#include <algorithm>
#include <array>

#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/conv/upsample.hpp>

#include "oracle/conv.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;

namespace {

struct Extents {
  index_t frames, height, width, channels;
  index_t size() const { return frames * height * width * channels; }
};

template <class T>
VideoView<T> video(const Buffer<T>& values, const Extents& e) {
  return {values.data(), e.frames, e.height, e.width, e.channels};
}

/// Runs `kernel(in, epilogue, out)` into a poisoned output, and again with the output's old values added. A
/// result is a value or a mean of `terms` of them, of magnitude `summed` at most.
template <class T, class Kernel>
void check(const Buffer<T>& in, const Extents& from, const Extents& to, const oracle::Video& expected,
           index_t terms, Kernel&& kernel) {
  std::mt19937 engine(1);
  const testing::Budget budget{.float_roundings = terms == 1 ? 0.0 : static_cast<double>(terms)};
  const double summed = std::ranges::max(oracle::magnitudes(in));
  auto out = testing::poisoned<T>(to.size());
  kernel(VideoView<const T>(video(in, from)), Store{}, video(out, to));
  testing::check_each<T>(out, expected.values, summed, budget);

  const auto before = testing::random_normal<T>(to.size(), engine);
  std::copy(before.begin(), before.end(), out.begin());
  auto sums = expected.values;
  for (index_t i = 0; i < to.size(); ++i) sums[i] += double(before[i]);
  kernel(VideoView<const T>(video(in, from)), Residual<T>{video(out, to).rows()}, video(out, to));
  testing::check_each<T>(out, sums, summed + 5, {.float_roundings = budget.float_roundings + 1});
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_shuffle_spreads_channels_over_two_by_two_by_two_pixels) {
  std::mt19937 engine(31);
  for (index_t repeat : {1, 2, 4})
    for (index_t dropped : {0, 1}) {
      const Extents from{3, 4, 5, 24}, to{6 - dropped, 8, 10, 3 * repeat};
      const auto in = testing::random_normal<float>(from.size(), engine);
      oracle::Video source{VideoView<const float>(video(in, from))}, expected(6 - dropped, 8, 10, 3 * repeat);
      for (index_t t = 0; t < 3; ++t)
        for (index_t y = 0; y < 4; ++y)
          for (index_t x = 0; x < 5; ++x)
            for (index_t c = 0; c < 3 * repeat; ++c)
              for (int i = 0; i < 2; ++i)
                for (int j = 0; j < 2; ++j)
                  for (int k = 0; k < 2; ++k)
                    if (2 * t + i >= dropped)
                      expected.at(2 * t + i - dropped, 2 * y + j, 2 * x + k, c) =
                          source.at(t, y, x, (8 * c + 4 * i + 2 * j + k) / repeat);
      check(in, from, to, expected, 1, [&](auto source, const auto& epilogue, auto target) {
        pixel_shuffle3d(host, source, repeat, dropped, epilogue, target);
      });
    }
}

BOOST_AUTO_TEST_CASE(an_unshuffle_gathers_them_behind_a_frame_of_zeros) {
  std::mt19937 engine(32);
  for (index_t mean : {1, 2, 8}) {
    const Extents from{5, 4, 6, 6}, to{3, 2, 3, 48 / mean};
    const auto in = testing::random_normal<bf16>(from.size(), engine);
    oracle::Video source =
        oracle::pad(oracle::Video(VideoView<const bf16>(video(in, from))), {1, 0}, {0, 0}, {0, 0});
    oracle::Video expected(3, 2, 3, 48 / mean);
    for (index_t t = 0; t < 3; ++t)
      for (index_t y = 0; y < 2; ++y)
        for (index_t x = 0; x < 3; ++x)
          for (index_t c = 0; c < 6; ++c)
            for (int i = 0; i < 2; ++i)
              for (int j = 0; j < 2; ++j)
                for (int k = 0; k < 2; ++k)
                  expected.at(t, y, x, (8 * c + 4 * i + 2 * j + k) / mean) +=
                      source.at(2 * t + i, 2 * y + j, 2 * x + k, c) / double(mean);
    check(in, from, to, expected, mean, [&](auto source, const auto& epilogue, auto target) {
      pixel_unshuffle3d(host, source, mean, 1, epilogue, target);
    });
  }
}

BOOST_AUTO_TEST_CASE(an_unshuffle_undoes_a_shuffle) {
  std::mt19937 engine(33);
  const Extents small{2, 3, 4, 40}, large{3, 6, 8, 5};
  const auto in = testing::random_normal<float>(small.size(), engine);
  auto shuffled = testing::poisoned<float>(large.size()), back = testing::poisoned<float>(small.size());
  pixel_shuffle3d(host, video(in, small), 1, 1, Store{}, video(shuffled, large));
  pixel_unshuffle3d(host, video(shuffled, large), 1, 1, Store{}, video(back, small));
  // The dropped frame held the first half of each eight channels of frame 0: it comes back as zeros.
  for (index_t i = 0; i < small.size(); ++i)
    BOOST_CHECK_EQUAL(back[i], i < small.size() / 2 && i % 8 < 4 ? 0.0f : in[i]);
}

BOOST_AUTO_TEST_CASE(channels_repeat_and_average) {
  std::mt19937 engine(34);
  const Extents narrow{2, 3, 4, 5}, wide{2, 3, 4, 35};
  const auto few = testing::random_normal<float>(narrow.size(), engine);
  const auto many = testing::random_normal<float>(wide.size(), engine);
  oracle::Video repeated(2, 3, 4, 35), averaged(2, 3, 4, 5);
  for (index_t i = 0; i < wide.size(); ++i) repeated.values[i] = few[i / 7];
  for (index_t i = 0; i < wide.size(); ++i) averaged.values[i / 7] += many[i] / 7.0;
  check(few, narrow, wide, repeated, 1, [](auto source, const auto& epilogue, auto target) {
    repeat_channels(host, source, epilogue, target);
  });
  check(many, wide, narrow, averaged, 7, [](auto source, const auto& epilogue, auto target) {
    average_channels(host, source, epilogue, target);
  });
}

BOOST_AUTO_TEST_CASE(upsampling_repeats_the_nearest) {
  std::mt19937 engine(35);
  const Extents from{2, 3, 4, 5};
  const auto in = testing::random_normal<float>(from.size(), engine);
  for (const auto& [frames, space] : {std::array<index_t, 2>{1, 2}, {2, 2}, {3, 1}}) {
    const Extents to{2 * frames, 3 * space, 4 * space, 5};
    auto out = testing::poisoned<float>(to.size());
    upsample_nearest(host, video(in, from), video(out, to));
    const auto expected =
        oracle::repeat(oracle::Video(VideoView<const float>(video(in, from))), frames, space);
    BOOST_CHECK(std::equal(out.begin(), out.end(), expected.values.begin(), expected.values.end()));
  }
}

namespace {

/// One call of each kernel of this folder, on one pair of views.
template <class Use>
void for_each_kernel(Use&& use) {
  use("pixel_shuffle3d",
      [](VideoView<float> in, VideoView<float> out) { pixel_shuffle3d(host, in, 1, 0, Store{}, out); });
  use("pixel_unshuffle3d",
      [](VideoView<float> in, VideoView<float> out) { pixel_unshuffle3d(host, in, 1, 0, Store{}, out); });
  use("repeat_channels",
      [](VideoView<float> in, VideoView<float> out) { repeat_channels(host, in, Store{}, out); });
  use("average_channels",
      [](VideoView<float> in, VideoView<float> out) { average_channels(host, in, Store{}, out); });
  use("upsample_nearest", [](VideoView<float> in, VideoView<float> out) { upsample_nearest(host, in, out); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(shapes_that_disagree_are_named) {
  Buffer<float> memory(4096);
  const VideoView<float> wide{memory.data(), 2, 4, 4, 8}, odd{memory.data() + 2048, 2, 4, 4, 3};
  for_each_kernel([&](const std::string& name, auto&& kernel) {
    testing::check_refused([&] { kernel(wide, odd); },
                           {name + ": in is (2, 4, 4, 8)", " (2, 4, 4, 3)", "must be"});
  });
  testing::check_refused([&] { pixel_shuffle3d(host, wide, 0, 0, Store{}, odd); },
                         {"channels are repeated 0 times"});
  testing::check_refused([&] { pixel_unshuffle3d(host, wide, 0, 0, Store{}, odd); },
                         {"means are over 0 channels"});
}

BOOST_AUTO_TEST_CASE(videos_without_elements_or_memory_are_refused) {
  Buffer<float> memory(4096);
  const VideoView<float> sound{memory.data(), 2, 4, 4, 8};
  for_each_kernel([&](const std::string& name, auto&& kernel) {
    testing::check_refused(
        [&] {
          kernel({nullptr, 2, 4, 4, 8}, sound);
        },
        {name + ": in is (2, 4, 4, 8) without memory"});
    testing::check_refused(
        [&] {
          kernel(sound, {nullptr, 2, 4, 4, 8});
        },
        {name + ": out is (2, 4, 4, 8) without memory"});
    testing::check_refused(
        [&] {
          kernel({memory.data(), 0, 4, 4, 8}, sound);
        },
        {name + ": in is (0, 4, 4, 8)", "1 or more"});
    testing::check_refused([&] { kernel({memory.data(), 2, 4, 4, 0}, sound); }, {"in is (2, 4, 4, 0)"});
    testing::check_refused([&] { kernel(sound, {memory.data(), 2, 0, 4, 8}); }, {"out is (2, 0, 4, 8)"});
  });
}

BOOST_AUTO_TEST_CASE(results_over_their_own_inputs_are_refused) {
  Buffer<float> memory(4096);
  const VideoView<float> small{memory.data(), 1, 2, 2, 8}, large{memory.data() + 31, 2, 4, 4, 1};
  testing::check_refused([&] { pixel_shuffle3d(host, small, 1, 0, Store{}, large); }, {"overlap in memory"});
  const VideoView<float> after{memory.data() + 32, 2, 4, 4, 1};
  BOOST_CHECK_NO_THROW(pixel_shuffle3d(host, small, 1, 0, Store{}, after));
}
