#define BOOST_TEST_MODULE rearrange
#include <algorithm>
#include <array>

#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/conv/upsample.hpp>

#include "kernels/conv/rearrange_cases.hpp"
#include "oracle/conv.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(a_shuffle_spreads_channels_over_two_by_two_by_two_pixels) {
  check_shuffles(host);
}
BOOST_AUTO_TEST_CASE(an_unshuffle_gathers_them_behind_a_frame_of_zeros) {
  check_unshuffles(host);
}
BOOST_AUTO_TEST_CASE(channels_repeat_and_average) {
  check_channels(host);
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
