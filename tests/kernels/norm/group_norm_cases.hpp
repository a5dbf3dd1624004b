// The cases of group_norm, for any execution.
#pragma once
#include <array>
#include <cmath>

#include <stepvideo/kernels/norm/group_norm.hpp>

#include "oracle/group_norm.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

template <class T>
VideoView<T> video(const Buffer<T>& values, index_t frames, index_t height, index_t width, index_t channels) {
  return {values.data(), frames, height, width, channels};
}

/// `run(in, shape of in, weight, bias, groups, epilogue, out)` applies group_norm to host buffers, in
/// whatever memory it likes; the shape is a view of in, and out may be in itself.
template <class T, class Run>
void group_norm_agrees_with_its_oracle(Run&& run, double bound) {
  std::mt19937 engine(11);
  for (int trial = 0; trial < 40; ++trial) {
    const index_t groups = std::array{1, 2, 3, 32}[trial % 4];
    const index_t channels = groups * (trial % 5 == 0 ? 8 : random_int(engine, 1, groups == 32 ? 3 : 20));
    const index_t frames = random_int(engine, 1, 4), height = random_int(engine, 1, 30),
                  width = random_int(engine, 2, 30);
    const index_t size = frames * height * width * channels;
    const auto in = random_normal<T>(size, engine, 3.0f);
    const auto weight = random_normal<T>(channels, engine), bias = random_normal<T>(channels, engine);
    const auto out = poisoned<T>(size);
    const auto shape = video(in, frames, height, width, channels);
    auto expected = oracle::group_norm<T>(shape, weight, bias, groups, 1e-5);

    run(in, shape, weight, bias, groups, Store{}, out);
    STEPVIDEO_CHECK_CLOSE(out, expected, bound);

    for (double& value : expected) value = value / (1 + std::exp(-value));
    run(in, shape, weight, bias, groups, Activate<Silu>{}, in);
    STEPVIDEO_CHECK_CLOSE(in, expected, bound);
  }
}

/// More channels than a block has threads, groups across blocks, frames of more than one part, and more parts
/// than a GPU works on at once.
template <class T, class Run>
void large_videos_agree_with_the_oracle(Run&& run, double bound) {
  struct Shape {
    index_t frames, height, width, channels, groups;
  };
  std::mt19937 engine(16);
  for (const auto [frames, height, width, channels, groups] : {Shape{2, 40, 61, 128, 32},
                                                               {1, 33, 20, 512, 32},
                                                               {2, 7, 5, 4096, 2},
                                                               {1, 9, 9, 1030, 10},
                                                               {3, 50, 70, 56, 7},
                                                               {700, 1, 3, 8, 2}}) {
    const auto in = random_normal<T>(frames * height * width * channels, engine);
    const auto weight = random_normal<T>(channels, engine), bias = random_normal<T>(channels, engine);
    const auto out = poisoned<T>(in.size());
    const auto shape = video(in, frames, height, width, channels);
    run(in, shape, weight, bias, groups, Store{}, out);
    STEPVIDEO_CHECK_CLOSE(out, oracle::group_norm<T>(shape, weight, bias, groups, 1e-5), bound);
  }
}

/// In float the inputs themselves are rounded to 6e-5; a sum of squares would leave nothing of the variance.
template <class Run>
void a_mean_far_from_zero_costs_no_digits(Run&& run) {
  std::mt19937 engine(12);
  const index_t channels = 32, size = 100 * 100 * channels;
  const auto in = random_normal<float>(size, engine);
  for (float& value : in) value += 1000.0f;
  const auto weight = random_normal<float>(channels, engine), bias = random_normal<float>(channels, engine);
  const auto out = poisoned<float>(size);
  const auto view = video(in, 1, 100, 100, channels);
  run(in, view, weight, bias, 32, Store{}, out);
  STEPVIDEO_CHECK_CLOSE(out, oracle::group_norm<float>(view, weight, bias, 32, 1e-5), 5e-5);
}

}  // namespace stepvideo::testing
