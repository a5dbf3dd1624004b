#define BOOST_TEST_MODULE conv_device
#include <stepvideo/kernels/conv/causal_conv3d.cuh>

#include "kernels/conv/conv_cases.hpp"
#include "kernels/conv/conv_formula.cuh"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_float) {
  check_causal_convolutions<float>(device);
}
BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_bf16) {
  check_causal_convolutions<bf16>(device);
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula) {
  check_convolutions_of_frames<float>(device);
  check_convolutions_of_frames<bf16>(device);
}
BOOST_AUTO_TEST_CASE(doubled_videos_are_convolved_as_the_formula_says) {
  for (const int kernel_frames : {1, 3}) {
    check_doubled_convolutions<float>(device, kernel_frames);
    check_doubled_convolutions<bf16>(device, kernel_frames);
  }
}
BOOST_AUTO_TEST_CASE(a_video_in_runs_of_frames_gets_the_bits_of_the_whole) {
  check_runs_of_frames(device);
}
BOOST_AUTO_TEST_CASE(they_run_on_a_stream_of_ones_own_and_in_graphs) {
  check_runs_of_frames(OwnStream{});
  check_convolutions_of_frames<bf16>(InGraph{});
}

namespace {

/// The release's widths on frames that no tile divides: every element against the formula.
template <class T, ConvForm form>
void check_release_width(index_t out_channels, index_t in_channels, int kernel,
                         const std::array<index_t, 3>& extents) {
  std::mt19937 engine(33);
  const int doubled = form == ConvForm::plain ? 1 : 2;
  const ConvCase<T, form> random({out_channels, in_channels, kernel, kernel, kernel}, extents, engine);
  const PlacedConvLayer<T, form, Device> layer(device, random.layer);
  const auto in = to_device(random.in);
  const VideoView<const T> view{in.data(), extents[0], extents[1], extents[2], in_channels};
  const index_t size = doubled * doubled * doubled * view.pixels() * out_channels;
  const auto video = [&](auto* data) {
    return VideoView<std::remove_pointer_t<decltype(data)>>{data, doubled * extents[0], doubled * extents[1],
                                                            doubled * extents[2], out_channels};
  };
  const Buffer<double, Device> values(device, size), summed(device, size);
  launch({.grid = 1024, .block = 256}, formula_kernel<T>,
         FormulaParams<T>{view, layer.weight.data(), layer.bias.data(), kernel, doubled, video(values.data()),
                          video(summed.data())});
  const auto out = to_device(poisoned<T>(size));
  causal_conv3d(device, view, layer.packed, layer.bias.vector(), {}, Store{}, video(out.data()));
  BOOST_TEST_CONTEXT(out_channels << " of " << in_channels << " channels") {
    check_each<T>(to_host(out), to_host(values), to_host(summed), random.budget());
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_releases_widths_agree_with_the_formula) {
  check_release_width<bf16, ConvForm::plain>(512, 512, 3, {3, 17, 31});
  check_release_width<bf16, ConvForm::plain>(256, 512, 3, {2, 34, 62});
  check_release_width<bf16, ConvForm::plain>(128, 256, 3, {2, 33, 70});
  check_release_width<bf16, ConvForm::plain>(128, 128, 3, {4, 40, 35});
  check_release_width<bf16, ConvForm::plain>(3, 128, 3, {3, 40, 62});
  check_release_width<bf16, ConvForm::plain>(128, 8, 3, {3, 40, 62});
  check_release_width<bf16, ConvForm::plain>(1536, 512, 1, {2, 17, 31});
  check_release_width<bf16, ConvForm::after_doubling>(512, 512, 3, {2, 9, 17});
  check_release_width<fp16, ConvForm::plain>(128, 128, 3, {3, 17, 31});
}

BOOST_AUTO_TEST_CASE(two_runs_give_the_same_bits) {
  std::mt19937 engine(34);
  const ConvCase<bf16> random({128, 128, 3, 3, 3}, {5, 70, 90}, engine);
  const PlacedConvLayer<bf16, ConvForm::plain, Device> layer(device, random.layer);
  const auto in = to_device(random.in);
  const auto once = [&] {
    const auto out = to_device(poisoned<bf16>(5 * 70 * 90 * 128));
    causal_conv3d(device, VideoView<const bf16>{in.data(), 5, 70, 90, 128}, layer.packed, layer.bias.vector(),
                  {}, Store{}, VideoView<bf16>{out.data(), 5, 70, 90, 128});
    return to_host(out);
  };
  BOOST_CHECK(same_bits(once(), once()));
}

BOOST_AUTO_TEST_CASE(the_fast_kernel_serves_what_it_is_for) {
  const Buffer<bf16, Device> memory(device, 64);
  const VideoView<const bf16> in{memory.data(), 1, 2, 2, 16};
  const bool is_hopper = kernel_gpu().compute_capability / 10 == 9;
  const auto path = conv_path<bf16, bf16, Store>(device, in);
  BOOST_CHECK_EQUAL(path.kernel == ConvKernel::warpgroup, is_hopper);
  BOOST_TEST_MESSAGE(to_string(path));
}
