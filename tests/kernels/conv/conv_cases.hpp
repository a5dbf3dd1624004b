// The cases of convolutions, for any place.
#pragma once
#include <array>

#include "kernels/conv/conv_layer.hpp"

namespace stepvideo::testing {

/// Narrow and ragged ones, and two that are whole units of every kernel.
inline constexpr std::array<index_t, 11> ragged_channels{1, 3, 4, 8, 16, 17, 31, 32, 33, 64, 70};

inline ConvShape ragged_shape(std::mt19937& engine, int kernel_frames, int kernel) {
  const auto any = [&] { return ragged_channels[random_int(engine, 0, ragged_channels.size() - 1)]; };
  const index_t out_channels = any();
  return {out_channels, any(), kernel_frames, kernel, kernel};
}

/// Calls check(shape, extents) with channels and frames that fill several tiles of the GPU's kernels and end
/// within one.
template <class Check>
void for_wide_cases(int kernel_frames, Check&& check) {
  check(ConvShape{136, 72, kernel_frames, 3, 3}, std::array<index_t, 3>{2, 9, 35});
  check(ConvShape{8, 128, kernel_frames, 3, 3}, std::array<index_t, 3>{3, 17, 18});
  check(ConvShape{40, 200, kernel_frames, 3, 3}, std::array<index_t, 3>{1, 33, 10});
}

template <class T, class Place>
void check_causal_convolutions(const Place& where) {
  std::mt19937 engine(21);
  const auto check = [&](const ConvShape& shape, const std::array<index_t, 3>& extents, int stride) {
    ConvCase<T>(shape, extents, engine)
        .check(
            where,
            [&](auto execution, auto in, const auto& weight, auto bias, const auto& epilogue, auto out) {
              causal_conv3d(execution, in, weight, bias, {.stride = stride}, epilogue, out);
            },
            [&](oracle::Video in, const auto& weight, const auto& bias) {
              const int kernel = shape.kernel_frames;
              if (kernel == 3) in = oracle::pad(std::move(in), {2, 0}, {1, 1}, {1, 1});
              return oracle::convolve(std::move(in), weight, bias, shape.out_channels,
                                      {kernel, kernel, kernel}, {stride, stride, stride});
            });
  };
  for (int trial = 0; trial < 60; ++trial) {
    const int kernel = trial % 5 == 0 ? 1 : 3, stride = trial % 3 == 0 ? 2 : 1;
    const ConvShape shape = ragged_shape(engine, kernel, kernel);
    check(shape,
          {random_int(engine, 1, 4), random_int(engine, 1, 6),
           trial % 7 == 0 ? random_int(engine, 45, 110) : random_int(engine, 1, 26)},
          stride);
  }
  for_wide_cases(3, [&](const auto&... of) { check(of..., 1); });
}

template <class T, class Place>
void check_convolutions_of_frames(const Place& where) {
  std::mt19937 engine(22);
  for (int trial = 0; trial < 40; ++trial) {
    const int stride = 1 + trial % 2;
    const ConvShape shape = ragged_shape(engine, 1, 3);
    ConvCase<T>(shape, {random_int(engine, 1, 4), random_int(engine, 2, 12), random_int(engine, 2, 60)},
                engine)
        .check(
            where,
            [&](auto execution, auto in, const auto& weight, auto bias, const auto& epilogue, auto out) {
              conv2d(execution, in, weight, bias, {.stride = stride}, epilogue, out);
            },
            [&](oracle::Video in, const auto& weight, const auto& bias) {
              const index_t front = stride == 1 ? 1 : 0;
              in = oracle::pad(std::move(in), {0, 0}, {front, 1}, {front, 1});
              return oracle::convolve(std::move(in), weight, bias, shape.out_channels, {1, 3, 3},
                                      {1, stride, stride});
            });
  }
}

/// After a doubling of rows and columns, and of frames where kernel_frames is 3. Every size from one frame,
/// row and column on: most outputs are at a border.
template <class T, class Place>
void check_doubled_convolutions(const Place& where, int kernel_frames) {
  std::mt19937 engine(61);
  const auto check = [&](const ConvShape& shape, const std::array<index_t, 3>& extents) {
    ConvCase<T, ConvForm::after_doubling>(shape, extents, engine)
        .check(
            where,
            [&](auto execution, auto in, const auto& weight, auto bias, const auto& epilogue, auto out) {
              if (kernel_frames == 3) {
                causal_conv3d(execution, in, weight, bias, {}, epilogue, out);
              } else {
                conv2d(execution, in, weight, bias, {}, epilogue, out);
              }
            },
            [&](oracle::Video in, const auto& weight, const auto& bias) {
              in = oracle::pad(oracle::repeat(std::move(in), kernel_frames == 3 ? 2 : 1, 2),
                               {kernel_frames - 1, 0}, {1, 1}, {1, 1});
              return oracle::convolve(std::move(in), weight, bias, shape.out_channels, {kernel_frames, 3, 3},
                                      {1, 1, 1});
            });
  };
  for (int trial = 0; trial < 24; ++trial) {
    const ConvShape shape = ragged_shape(engine, kernel_frames, 3);
    check(shape, {random_int(engine, 1, 3), random_int(engine, 1, 5),
                  trial % 7 == 0 ? random_int(engine, 45, 60) : random_int(engine, 1, 14)});
  }
  if (kernel_frames == 1) for_wide_cases(1, check);
}

/// Seven frames at once, and in runs of frames of which each has up to `most_past` frames before it.
template <class T, ConvForm form, class Place>
void check_runs(const Place& where, const ConvShape& shape, index_t run_frames, index_t most_past,
                index_t outputs_per_frame, std::mt19937& engine) {
  constexpr index_t frames = 7, height = 5, width = 9;
  const PlacedConvLayer<T, form, Place> layer(where, ConvLayer<T, form>(shape, engine));
  const auto in = place(where, random_normal<T>(frames * height * width * shape.in_channels, engine));
  const VideoView<const T> view{in.data(), frames, height, width, shape.in_channels};
  const index_t grown = outputs_per_frame;
  const index_t size = frames * height * width * grown * grown * grown * shape.out_channels;
  const auto whole = place(where, poisoned<float>(size)), parts = place(where, poisoned<float>(size)),
             residual = place(where, random_normal<float>(size, engine));
  const auto video = [&](const auto& values) {
    return VideoView<float>{values.data(), grown * frames, grown * height, grown * width, shape.out_channels};
  };
  const auto convolve = [&](VideoView<const T> of, index_t past, VideoView<float> out, index_t first) {
    run(where, [&](auto execution) {
      causal_conv3d(execution, of, layer.packed, layer.bias.vector(), {.past_frames = static_cast<int>(past)},
                    Residual<float>{video(residual).frames_from(first, out.frames).rows()}, out);
    });
  };
  convolve(view, 0, video(whole), 0);
  for (index_t first = 0; first < frames; first += run_frames) {
    const index_t past = std::min(first, most_past), count = std::min(run_frames, frames - first);
    convolve(view.frames_from(first - past, past + count), past,
             video(parts).frames_from(grown * first, grown * count), grown * first);
  }
  BOOST_CHECK(same_bits(fetch(where, parts), fetch(where, whole)));
}

template <class Place>
void check_runs_of_frames(const Place& where) {
  std::mt19937 engine(31);
  for (const index_t run_frames : {1, 2, 3, 4}) {
    BOOST_TEST_CONTEXT("runs of " << run_frames) {
      check_runs<float, ConvForm::plain>(where, {24, 20, 3, 3, 3}, run_frames, 2, 1, engine);
      check_runs<bf16, ConvForm::plain>(where, {40, 33, 3, 3, 3}, run_frames, 2, 1, engine);
      check_runs<bf16, ConvForm::plain>(where, {40, 72, 3, 3, 3}, run_frames, 2, 1, engine);
      check_runs<bf16, ConvForm::plain>(where, {7, 33, 1, 1, 1}, run_frames, 0, 1, engine);
      check_runs<float, ConvForm::after_doubling>(where, {17, 20, 3, 3, 3}, run_frames, 1, 2, engine);
      check_runs<bf16, ConvForm::after_doubling>(where, {40, 5, 3, 3, 3}, run_frames, 1, 2, engine);
      check_runs<bf16, ConvForm::after_doubling>(where, {40, 8, 3, 3, 3}, run_frames, 1, 2, engine);
    }
  }
}

}  // namespace stepvideo::testing
