#define BOOST_TEST_MODULE conv
#include "oracle/conv.hpp"

#include <array>

#include <omp.h>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>

#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using testing::random_int;

namespace {

/// A layer with random weights, in the checkpoint's order and packed.
template <class T>
struct Layer {
  ConvShape shape;
  Buffer<T> weight, bias, packed;

  Layer(const ConvShape& of, std::mt19937& engine)
      : shape(of),
        weight(testing::random_normal<T>(of.elements(), engine)),
        bias(testing::random_normal<T>(of.out_channels, engine)),
        packed(testing::poisoned<T>(conv_weight_elements(host, of))) {
    pack_conv_weight(host, weight.vector(), shape, packed.vector());
  }
  ConvWeight<T> view() const { return {shape, packed.data()}; }
};

/// One random case: `expected` is what the caller's own padding and strides give.
template <class T, class Convolve, class Expect>
void check_case(const ConvShape& shape, std::array<index_t, 3> extents, double bound, std::mt19937& engine,
                Convolve&& convolve, Expect&& expect) {
  const Layer<T> layer(shape, engine);
  const auto [frames, height, width] = extents;
  const auto in = testing::random_normal<T>(frames * height * width * shape.in_channels, engine);
  const VideoView<const T> view{in.data(), frames, height, width, shape.in_channels};
  oracle::Video expected = expect(oracle::Video(view), layer);

  auto out = testing::poisoned<T>(static_cast<index_t>(expected.values.size()));
  const VideoView<T> out_view{out.data(), expected.frames, expected.height, expected.width,
                              expected.channels};
  convolve(view, layer, out_view, Store{});
  STEPVIDEO_CHECK_CLOSE(out, expected.values, bound);

  // The residual may be the output itself.
  const auto residual = testing::random_normal<T>(out.size(), engine, 5.0f);
  std::copy(residual.begin(), residual.end(), out.begin());
  for (index_t i = 0; i < out.size(); ++i) expected.values[i] += double(residual[i]);
  convolve(view, layer, out_view, Residual<T>{out_view.rows()});
  STEPVIDEO_CHECK_CLOSE(out, expected.values, bound);
}

const std::array<index_t, 9> ragged_channels{1, 3, 4, 16, 17, 31, 32, 33, 70};

template <class T>
void check_causal(double bound) {
  std::mt19937 engine(21);
  for (int trial = 0; trial < 60; ++trial) {
    const int kernel = trial % 5 == 0 ? 1 : 3, stride = trial % 3 == 0 ? 2 : 1;
    const ConvShape shape{ragged_channels[random_int(engine, 0, 8)],
                          ragged_channels[random_int(engine, 0, 8)], kernel, kernel, kernel};
    const std::array<index_t, 3> extents{
        random_int(engine, 1, 4), random_int(engine, 1, 6),
        trial % 7 == 0 ? random_int(engine, 45, 110) : random_int(engine, 1, 26)};
    BOOST_TEST_CONTEXT("weight " << to_string(shape) << " stride " << stride << " on " << extents[0] << "x"
                                 << extents[1] << "x" << extents[2]) {
      check_case<T>(
          shape, extents, bound, engine,
          [&](auto in, const auto& layer, auto out, const auto& epilogue) {
            causal_conv3d(host, in, layer.view(), layer.bias.vector(), {.stride = stride}, out, epilogue);
          },
          [&](oracle::Video in, const auto& layer) {
            if (kernel == 3) in = oracle::pad(std::move(in), {2, 0}, {1, 1}, {1, 1});
            return oracle::convolve(std::move(in), layer.weight, layer.bias, shape.out_channels,
                                    {kernel, kernel, kernel}, {stride, stride, stride});
          });
    }
  }
}

template <class T>
void check_frames_alone(double bound) {
  std::mt19937 engine(22);
  for (int trial = 0; trial < 40; ++trial) {
    const int stride = 1 + trial % 2;
    const ConvShape shape{ragged_channels[random_int(engine, 0, 8)],
                          ragged_channels[random_int(engine, 0, 8)], 1, 3, 3};
    const std::array<index_t, 3> extents{random_int(engine, 1, 4), random_int(engine, 2, 12),
                                         random_int(engine, 2, 60)};
    BOOST_TEST_CONTEXT("weight " << to_string(shape) << " stride " << stride << " on " << extents[0] << "x"
                                 << extents[1] << "x" << extents[2]) {
      check_case<T>(
          shape, extents, bound, engine,
          [&](auto in, const auto& layer, auto out, const auto& epilogue) {
            conv2d(host, in, layer.view(), layer.bias.vector(), {.stride = stride}, out, epilogue);
          },
          [&](oracle::Video in, const auto& layer) {
            const index_t front = stride == 1 ? 1 : 0;
            in = oracle::pad(std::move(in), {0, 0}, {front, 1}, {front, 1});
            return oracle::convolve(std::move(in), layer.weight, layer.bias, shape.out_channels, {1, 3, 3},
                                    {1, stride, stride});
          });
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_float) {
  check_causal<float>(1e-6);
}
BOOST_AUTO_TEST_CASE(causal_convolutions_agree_with_the_formula_in_bf16) {
  check_causal<bf16>(4e-3);
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula_in_float) {
  check_frames_alone<float>(1e-6);
}
BOOST_AUTO_TEST_CASE(convolutions_of_single_frames_agree_with_the_formula_in_bf16) {
  check_frames_alone<bf16>(4e-3);
}

BOOST_AUTO_TEST_CASE(many_channels_are_computed_in_groups) {
  std::mt19937 engine(23);
  const ConvShape shape{600, 130, 3, 3, 3};
  check_case<float>(
      shape, {2, 2, 3}, 1e-6, engine,
      [&](auto in, const auto& layer, auto out, const auto& epilogue) {
        causal_conv3d(host, in, layer.view(), layer.bias.vector(), {}, out, epilogue);
      },
      [&](oracle::Video in, const auto& layer) {
        return oracle::convolve(oracle::pad(std::move(in), {2, 0}, {1, 1}, {1, 1}), layer.weight, layer.bias,
                                600, {3, 3, 3}, {1, 1, 1});
      });
}

BOOST_AUTO_TEST_CASE(upsampling_on_the_fly_equals_upsampling_before) {
  std::mt19937 engine(24);
  for (const auto& [frames, space] : {std::array{1, 2}, {2, 2}, {2, 1}, {1, 3}}) {
    check_case<float>(
        {20, 12, 3, 3, 3}, {3, 5, 9}, 1e-6, engine,
        [&](auto in, const auto& layer, auto out, const auto& epilogue) {
          causal_conv3d(host, in, layer.view(), layer.bias.vector(),
                        {.upsample_frames = frames, .upsample_space = space}, out, epilogue);
        },
        [&](oracle::Video in, const auto& layer) {
          in = oracle::pad(oracle::repeat(std::move(in), frames, space), {2, 0}, {1, 1}, {1, 1});
          return oracle::convolve(std::move(in), layer.weight, layer.bias, 20, {3, 3, 3}, {1, 1, 1});
        });
  }
}

BOOST_AUTO_TEST_CASE(skipped_frames_change_nothing_in_the_others) {
  std::mt19937 engine(28);
  const Layer<float> layer({3, 20, 3, 3, 3}, engine);
  const auto in = testing::random_normal<float>(5 * 4 * 6 * 20, engine);
  const VideoView<float> view{in.data(), 5, 4, 6, 20};
  const index_t frame = 4 * 6 * 3;
  auto whole = testing::poisoned<float>(5 * frame), last = testing::poisoned<float>(2 * frame);
  causal_conv3d(host, view, layer.view(), layer.bias.vector(), {},
                VideoView<float>{whole.data(), 5, 4, 6, 3});
  causal_conv3d(host, view, layer.view(), layer.bias.vector(), {.skipped_frames = 3},
                VideoView<float>{last.data(), 2, 4, 6, 3});
  BOOST_CHECK(std::equal(last.begin(), last.end(), whole.begin() + 3 * frame));
}

BOOST_AUTO_TEST_CASE(the_future_has_no_influence) {
  std::mt19937 engine(25);
  const Layer<float> layer({24, 24, 3, 3, 3}, engine);
  const index_t frame = 6 * 7 * 24;
  const auto in = testing::random_normal<float>(4 * frame, engine);
  const VideoView<float> view{in.data(), 4, 6, 7, 24};
  auto whole = testing::poisoned<float>(4 * frame), past = testing::poisoned<float>(2 * frame);
  causal_conv3d(host, view, layer.view(), layer.bias.vector(), {},
                VideoView<float>{whole.data(), 4, 6, 7, 24});
  causal_conv3d(host, view.frames_from(0, 2), layer.view(), layer.bias.vector(), {},
                VideoView<float>{past.data(), 2, 6, 7, 24});
  BOOST_CHECK(std::equal(past.begin(), past.end(), whole.begin()));
}

BOOST_AUTO_TEST_CASE(results_do_not_depend_on_the_number_of_threads) {
  std::mt19937 engine(26);
  const Layer<float> layer({40, 50, 3, 3, 3}, engine);
  const auto in = testing::random_normal<float>(3 * 9 * 70 * 50, engine);
  const VideoView<float> view{in.data(), 3, 9, 70, 50};
  std::vector<Buffer<float>> results;
  for (int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    results.push_back(testing::poisoned<float>(3 * 9 * 70 * 40));
    causal_conv3d(host, view, layer.view(), layer.bias.vector(), {},
                  VideoView<float>{results.back().data(), 3, 9, 70, 40});
    BOOST_CHECK(std::equal(results.back().begin(), results.back().end(), results.front().begin()));
  }
}

BOOST_AUTO_TEST_CASE(shapes_that_disagree_are_named) {
  std::mt19937 engine(27);
  const Layer<float> layer({4, 8, 3, 3, 3}, engine);
  Buffer<float> values(2 * 4 * 4 * 8);
  const VideoView<float> in{values.data(), 2, 4, 4, 8}, out{values.data(), 2, 4, 4, 4};
  const auto convolve = [&](VideoView<float> from, ConvOptions options, VideoView<float> to) {
    causal_conv3d(host, from, layer.view(), layer.bias.vector(), options, to);
  };
  const auto says = [](const char* text) {
    return [text](const RequestError& error) {
      return std::string(error.what()).find(text) != std::string::npos;
    };
  };
  BOOST_CHECK_EXCEPTION(convolve(out, {}, out), RequestError, says("out's and in's channels"));
  BOOST_CHECK_EXCEPTION(convolve(in, {.stride = 2}, out), RequestError, says("out must be (1, 2, 2, 4)"));
  BOOST_CHECK_EXCEPTION(convolve(in, {.stride = 3}, out), RequestError, says("stride 3 is not built"));
  Buffer<float> short_weight(5);
  BOOST_CHECK_EXCEPTION(pack_conv_weight(host, short_weight.vector(), layer.shape, layer.packed.vector()),
                        RequestError, says("the weight has 5 elements"));
}
