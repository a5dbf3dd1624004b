#define BOOST_TEST_MODULE conv
#include "oracle/conv.hpp"

#include <array>

#include <omp.h>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>

#include "kernels/conv/conv_layer.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using testing::random_int, testing::ConvLayer, testing::ConvCase;

namespace {

const std::array<index_t, 9> ragged_channels{1, 3, 4, 16, 17, 31, 32, 33, 70};

template <class T>
void check_causal() {
  std::mt19937 engine(21);
  for (int trial = 0; trial < 60; ++trial) {
    const int kernel = trial % 5 == 0 ? 1 : 3, stride = trial % 3 == 0 ? 2 : 1;
    const ConvShape shape{ragged_channels[random_int(engine, 0, 8)],
                          ragged_channels[random_int(engine, 0, 8)], kernel, kernel, kernel};
    const std::array<index_t, 3> extents{
        random_int(engine, 1, 4), random_int(engine, 1, 6),
        trial % 7 == 0 ? random_int(engine, 45, 110) : random_int(engine, 1, 26)};
    ConvCase<T>(shape, extents, engine)
        .check(
            [&](auto in, const auto& layer, const auto& epilogue, auto out) {
              causal_conv3d(host, in, layer.packed(), layer.bias.vector(), {.stride = stride}, epilogue, out);
            },
            [&](oracle::Video in, const auto& weight, const auto& bias) {
              if (kernel == 3) in = oracle::pad(std::move(in), {2, 0}, {1, 1}, {1, 1});
              return oracle::convolve(std::move(in), weight, bias, shape.out_channels,
                                      {kernel, kernel, kernel}, {stride, stride, stride});
            });
  }
}

template <class T>
void check_frames_alone() {
  std::mt19937 engine(22);
  for (int trial = 0; trial < 40; ++trial) {
    const int stride = 1 + trial % 2;
    const ConvShape shape{ragged_channels[random_int(engine, 0, 8)],
                          ragged_channels[random_int(engine, 0, 8)], 1, 3, 3};
    const std::array<index_t, 3> extents{random_int(engine, 1, 4), random_int(engine, 2, 12),
                                         random_int(engine, 2, 60)};
    ConvCase<T>(shape, extents, engine)
        .check(
            [&](auto in, const auto& layer, const auto& epilogue, auto out) {
              conv2d(host, in, layer.packed(), layer.bias.vector(), {.stride = stride}, epilogue, out);
            },
            [&](oracle::Video in, const auto& weight, const auto& bias) {
              const index_t front = stride == 1 ? 1 : 0;
              in = oracle::pad(std::move(in), {0, 0}, {front, 1}, {front, 1});
              return oracle::convolve(std::move(in), weight, bias, shape.out_channels, {1, 3, 3},
                                      {1, stride, stride});
            });
  }
}

/// Seven frames at once, and in runs of frames of which each has up to `most_past` frames before it.
template <class T, ConvForm form>
void check_runs(const ConvShape& shape, index_t run, index_t most_past, index_t outputs_per_frame,
                std::mt19937& engine) {
  constexpr index_t frames = 7, height = 5, width = 9;
  const ConvLayer<T, form> layer(shape, engine);
  const auto in = testing::random_normal<T>(frames * height * width * shape.in_channels, engine);
  const VideoView<const T> view{in.data(), frames, height, width, shape.in_channels};
  const index_t grown = outputs_per_frame;
  const auto whole = testing::poisoned<float>(frames * height * width * grown * grown * grown *
                                              shape.out_channels),
             parts = testing::poisoned<float>(whole.size());
  const auto video = [&](const Buffer<float>& values) {
    return VideoView<float>{values.data(), grown * frames, grown * height, grown * width, shape.out_channels};
  };
  const auto residual = testing::random_normal<float>(whole.size(), engine);
  const auto convolve = [&](VideoView<const T> of, index_t past, VideoView<float> out, index_t first) {
    causal_conv3d(host, of, layer.packed(), layer.bias.vector(), {.past_frames = static_cast<int>(past)},
                  Residual<float>{video(residual).frames_from(first, out.frames).rows()}, out);
  };
  convolve(view, 0, video(whole), 0);
  for (index_t first = 0; first < frames; first += run) {
    const index_t past = std::min(first, most_past), count = std::min(run, frames - first);
    convolve(view.frames_from(first - past, past + count), past,
             video(parts).frames_from(grown * first, grown * count), grown * first);
  }
  BOOST_CHECK(std::equal(parts.begin(), parts.end(), whole.begin()));
}

}  // namespace

BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_float) {
  check_causal<float>();
}
BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_bf16) {
  check_causal<bf16>();
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula_in_float) {
  check_frames_alone<float>();
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula_in_bf16) {
  check_frames_alone<bf16>();
}

BOOST_AUTO_TEST_CASE(many_channels_are_computed_in_groups) {
  std::mt19937 engine(23);
  ConvCase<float>({600, 130, 3, 3, 3}, {2, 2, 3}, engine)
      .check(
          [&](auto in, const auto& layer, const auto& epilogue, auto out) {
            causal_conv3d(host, in, layer.packed(), layer.bias.vector(), {}, epilogue, out);
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
  std::mt19937 engine(31);
  for (const index_t run : {1, 2, 3, 4}) {
    BOOST_TEST_CONTEXT("runs of " << run) {
      check_runs<float, ConvForm::plain>({24, 20, 3, 3, 3}, run, 2, 1, engine);
      check_runs<bf16, ConvForm::plain>({40, 33, 3, 3, 3}, run, 2, 1, engine);
      check_runs<bf16, ConvForm::plain>({7, 33, 1, 1, 1}, run, 0, 1, engine);
      check_runs<float, ConvForm::after_doubling>({17, 20, 3, 3, 3}, run, 1, 2, engine);
      check_runs<bf16, ConvForm::after_doubling>({40, 5, 3, 3, 3}, run, 1, 2, engine);
    }
  }
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
