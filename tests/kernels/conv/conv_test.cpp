#define BOOST_TEST_MODULE conv
#include "oracle/conv.hpp"

#include <array>

#include <omp.h>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>

#include "kernels/conv/conv_cases.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_float) {
  check_causal_convolutions<float>(host);
}
BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_bf16) {
  check_causal_convolutions<bf16>(host);
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula_in_float) {
  check_convolutions_of_frames<float>(host);
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula_in_bf16) {
  check_convolutions_of_frames<bf16>(host);
}

BOOST_AUTO_TEST_CASE(many_channels_are_computed_in_groups) {
  std::mt19937 engine(23);
  ConvCase<float>({600, 130, 3, 3, 3}, {2, 2, 3}, engine)
      .check(
          host,
          [&](auto execution, auto in, const auto& weight, auto bias, const auto& epilogue, auto out) {
            causal_conv3d(execution, in, weight, bias, {}, epilogue, out);
          },
          [&](oracle::Video in, const auto& weight, const auto& bias) {
            return oracle::convolve(oracle::pad(std::move(in), {2, 0}, {1, 1}, {1, 1}), weight, bias, 600,
                                    {3, 3, 3}, {1, 1, 1});
          });
}

BOOST_AUTO_TEST_CASE(a_corrupted_element_fails_the_comparison) {
  std::mt19937 engine(29);
  // The largest case there is, and its smallest element: what a bound on the whole would miss first.
  const ConvCase<bf16> largest({70, 70, 3, 3, 3}, {4, 6, 110}, engine);
  const auto formula = [](oracle::Video in, const auto& weight, const auto& bias) {
    return oracle::convolve(oracle::pad(std::move(in), {2, 0}, {1, 1}, {1, 1}), weight, bias, 70, {3, 3, 3},
                            {1, 1, 1});
  };
  const auto expected = formula(largest.video(), largest.layer.weight, largest.layer.bias);
  const auto summed = formula(oracle::magnitudes(largest.video()), oracle::magnitudes(largest.layer.weight),
                              oracle::magnitudes(largest.layer.bias));
  const auto out = testing::poisoned<bf16>(4 * 6 * 110 * 70);
  causal_conv3d(host, largest.view(), largest.layer.packed(), largest.layer.bias.vector(), {}, Store{},
                VideoView<bf16>{out.data(), 4, 6, 110, 70});
  const auto share = [&] {
    return testing::worst_element<bf16>(out, expected.values, summed.values, largest.budget()).share;
  };
  BOOST_CHECK_LE(share(), 1);
  const auto smallest = std::ranges::min_element(expected.values, {}, [](double v) { return std::abs(v); });
  bf16& corrupted = out.data()[smallest - expected.values.begin()];
  const bf16 right = corrupted;
  corrupted = bf16(float(right) + 0.5f);  // the elements' root mean square is about 43
  BOOST_CHECK_GT(share(), 1);
  corrupted = right;
  bf16& last = out.data()[out.size() - 1];
  last = bf16(float(last) * 1.01f);  // two units in its last place
  BOOST_CHECK_GT(share(), 1);
}

BOOST_AUTO_TEST_CASE(skipped_frames_change_nothing_in_the_others) {
  std::mt19937 engine(28);
  const ConvLayer<float> layer({3, 20, 3, 3, 3}, engine);
  const auto in = testing::random_normal<float>(5 * 4 * 6 * 20, engine);
  const VideoView<float> view{in.data(), 5, 4, 6, 20};
  const index_t frame = 4 * 6 * 3;
  auto whole = testing::poisoned<float>(5 * frame), last = testing::poisoned<float>(2 * frame);
  causal_conv3d(host, view, layer.packed(), layer.bias.vector(), {}, Store{},
                VideoView<float>{whole.data(), 5, 4, 6, 3});
  causal_conv3d(host, view, layer.packed(), layer.bias.vector(), {.skipped_frames = 3}, Store{},
                VideoView<float>{last.data(), 2, 4, 6, 3});
  BOOST_CHECK(std::equal(last.begin(), last.end(), whole.begin() + 3 * frame));
}

BOOST_AUTO_TEST_CASE(a_video_in_runs_of_frames_gets_the_bits_of_the_whole) {
  check_runs_of_frames(host);
}

BOOST_AUTO_TEST_CASE(frames_are_skipped_behind_a_past) {
  std::mt19937 engine(32);
  const ConvLayer<float> layer({3, 20, 3, 3, 3}, engine);
  const auto in = testing::random_normal<float>(5 * 4 * 6 * 20, engine);
  const VideoView<float> view{in.data(), 5, 4, 6, 20};
  const index_t frame = 4 * 6 * 3;
  auto whole = testing::poisoned<float>(5 * frame), last = testing::poisoned<float>(2 * frame);
  causal_conv3d(host, view, layer.packed(), layer.bias.vector(), {}, Store{},
                VideoView<float>{whole.data(), 5, 4, 6, 3});
  causal_conv3d(host, view.frames_from(1, 4), layer.packed(), layer.bias.vector(),
                {.skipped_frames = 1, .past_frames = 1}, Store{}, VideoView<float>{last.data(), 2, 4, 6, 3});
  BOOST_CHECK(std::equal(last.begin(), last.end(), whole.begin() + 3 * frame));
}

BOOST_AUTO_TEST_CASE(the_future_has_no_influence) {
  std::mt19937 engine(25);
  const ConvLayer<float> layer({24, 24, 3, 3, 3}, engine);
  const index_t frame = 6 * 7 * 24;
  const auto in = testing::random_normal<float>(4 * frame, engine);
  const VideoView<float> view{in.data(), 4, 6, 7, 24};
  auto whole = testing::poisoned<float>(4 * frame), past = testing::poisoned<float>(2 * frame);
  causal_conv3d(host, view, layer.packed(), layer.bias.vector(), {}, Store{},
                VideoView<float>{whole.data(), 4, 6, 7, 24});
  causal_conv3d(host, view.frames_from(0, 2), layer.packed(), layer.bias.vector(), {}, Store{},
                VideoView<float>{past.data(), 2, 6, 7, 24});
  BOOST_CHECK(std::equal(past.begin(), past.end(), whole.begin()));
}

BOOST_AUTO_TEST_CASE(results_do_not_depend_on_the_number_of_threads) {
  std::mt19937 engine(26);
  const ConvLayer<float> layer({40, 50, 3, 3, 3}, engine);
  const ConvLayer<float, ConvForm::after_doubling> doubling({40, 50, 3, 3, 3}, engine);
  const auto in = testing::random_normal<float>(3 * 9 * 70 * 50, engine);
  const VideoView<float> view{in.data(), 3, 9, 70, 50};
  std::vector<Buffer<float>> results, doubled;
  for (int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    results.push_back(testing::poisoned<float>(3 * 9 * 70 * 40));
    causal_conv3d(host, view, layer.packed(), layer.bias.vector(), {}, Store{},
                  VideoView<float>{results.back().data(), 3, 9, 70, 40});
    BOOST_CHECK(std::equal(results.back().begin(), results.back().end(), results.front().begin()));
    doubled.push_back(testing::poisoned<float>(8 * 3 * 9 * 70 * 40));
    causal_conv3d(host, view, doubling.packed(), doubling.bias.vector(), {}, Store{},
                  VideoView<float>{doubled.back().data(), 6, 18, 140, 40});
    BOOST_CHECK(std::equal(doubled.back().begin(), doubled.back().end(), doubled.front().begin()));
  }
}

BOOST_AUTO_TEST_CASE(requests_that_cannot_be_served_are_refused_by_name) {
  std::mt19937 engine(27);
  const ConvLayer<float> layer({4, 8, 3, 3, 3}, engine);
  const ConvLayer<float, ConvForm::after_doubling> doubling({4, 8, 3, 3, 3}, engine);
  const Buffer<float> values(2 * 4 * 4 * 8), results(8 * 2 * 4 * 4 * 4);
  const VideoView<float> in{values.data(), 2, 4, 4, 8}, out{results.data(), 2, 4, 4, 4};
  const auto refused = [&](VideoView<float> from, ConvOptions options, VideoView<float> to,
                           const std::vector<std::string>& phrases) {
    testing::check_refused(
        [&] { causal_conv3d(host, from, layer.packed(), layer.bias.vector(), options, Store{}, to); },
        phrases);
  };
  refused(out, {}, in, {"the weight's first two extents must be out's and in's channels"});
  refused(in, {.stride = 2}, out, {"out must be (1, 2, 2, 4)"});
  refused(in, {.stride = 3}, out, {"stride 3 is not built"});
  refused(in, {.skipped_frames = -1}, out, {"-1 frames cannot be skipped"});
  refused(in, {.skipped_frames = 2}, out, {"in is (2, 4, 4, 8)", "nothing would be left"});
  refused(in, {.past_frames = 3}, out, {"begins with 3 frames of the past", "from 0 to 2"});
  refused(in, {.past_frames = 2}, out, {"in is (2, 4, 4, 8)", "nothing would be left"});
  refused(in, {.past_frames = 1}, out, {"out must be (1, 4, 4, 4)"});
  refused(in, {.stride = 2, .past_frames = 1}, out, {"a past with stride 2 is not built"});
  refused({values.data(), 0, 4, 4, 8}, {}, out, {"in is (0, 4, 4, 8)", "1 or more"});
  refused({nullptr, 2, 4, 4, 8}, {}, out, {"in is (2, 4, 4, 8) without memory"});
  refused(in, {}, {nullptr, 2, 4, 4, 4}, {"out is (2, 4, 4, 4) without memory"});
  refused(in, {}, {values.data() + 9, 2, 4, 4, 4}, {"overlap in memory"});

  const auto refused_layer = [&](const auto& weight, VectorView<const float> bias, const auto& epilogue,
                                 const std::vector<std::string>& phrases) {
    testing::check_refused([&] { causal_conv3d(host, in, weight, bias, {}, epilogue, out); }, phrases);
  };
  refused_layer(layer.packed(), {nullptr, 4}, Store{}, {"bias has no memory"});
  refused_layer(layer.packed(), layer.bias.vector(), Residual<float>{{nullptr, 32, 4, 4}},
                {"the residual has no memory"});
  refused_layer(PackedConvWeight<float, Host>{}, layer.bias.vector(), Store{},
                {"the weight is (0, 0, 1, 1, 1)"});
  const auto packed = layer.packed();
  refused_layer(PackedConvWeight<float, Host>{packed.shape(), packed.order(), nullptr}, layer.bias.vector(),
                Store{}, {"the weight has no memory"});
  refused_layer(PackedConvWeight<float, Host>{packed.shape(), {3, 6, 32}, packed.data()}, layer.bias.vector(),
                Store{}, {"packed in vectors of 3, blocks of 6", "the same -m flags"});

  const auto refused_doubling = [&](ConvOptions options, VideoView<float> to,
                                    const std::vector<std::string>& phrases) {
    testing::check_refused(
        [&] { causal_conv3d(host, in, doubling.packed(), doubling.bias.vector(), options, Store{}, to); },
        phrases);
  };
  refused_doubling({}, out, {"in is (2, 4, 4, 8)", "out must be (4, 8, 8, 4)"});
  refused_doubling({.stride = 2}, out, {"after a doubling, stride 2"});
  refused_doubling({.past_frames = 2}, out, {"begins with 2 frames of the past", "from 0 to 1"});
  testing::check_refused(
      [&] { conv2d(host, in, doubling.packed(), doubling.bias.vector(), {}, Store{}, out); },
      {"conv2d: the weight spans frames"});
}

BOOST_AUTO_TEST_CASE(weights_that_cannot_be_packed_are_refused_by_name) {
  std::mt19937 engine(30);
  const ConvLayer<float> layer({4, 8, 3, 3, 3}, engine);
  const Buffer<float> room(conv_weight_elements(host, layer.shape));
  const auto refused = [&](VectorView<const float> weight, const ConvShape& shape, VectorView<float> packed,
                           const std::vector<std::string>& phrases) {
    testing::check_refused([&] { pack_conv_weight(host, weight, shape, packed); }, phrases);
  };
  refused({layer.weight.data(), 5}, layer.shape, room.vector(), {"the weight has 5 elements"});
  refused({nullptr, layer.weight.size()}, layer.shape, room.vector(), {"the weight has no memory"});
  refused(layer.weight.vector(), layer.shape, {nullptr, room.size()}, {"the packed weight has no memory"});
  refused(layer.weight.vector(), {4, 0, 3, 3, 3}, room.vector(),
          {"the weight is (4, 0, 3, 3, 3)", "1 or more"});
  refused(layer.weight.vector(), {4, 8, 5, 3, 3}, room.vector(), {"kernels of 1 and 3 are built"});
  testing::check_refused(
      [&] {
        conv_weight_elements<ConvForm::after_doubling>(host, {4, 8, 3, 1, 1});
      },
      {"after a doubling a kernel of 3 rows and 3 columns is built"});
}
