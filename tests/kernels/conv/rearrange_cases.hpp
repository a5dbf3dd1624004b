// The cases of the kernels that rearrange pixels and channels, for any place.
#pragma once
#include <algorithm>

#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>

#include "oracle/conv.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

struct Extents {
  index_t frames, height, width, channels;
  index_t size() const { return frames * height * width * channels; }
};

template <class Values>
auto video(const Values& values, const Extents& e) {
  return VideoView<std::remove_pointer_t<decltype(values.data())>>{values.data(), e.frames, e.height, e.width,
                                                                   e.channels};
}

/// Runs `kernel(execution, in, epilogue, out)` into a poisoned output, and again with the output's old values
/// added. A result is a value or a mean of `terms` of them, of magnitude `summed` at most.
template <class T, class Place, class Kernel>
void check_rearranged(const Place& where, const Buffer<T>& in, const Extents& from, const Extents& to,
                      const oracle::Video& expected, index_t terms, Kernel&& kernel) {
  std::mt19937 engine(1);
  const Budget budget{.float_roundings = terms == 1 ? 0.0 : static_cast<double>(terms)};
  const double summed = std::ranges::max(oracle::magnitudes(in));
  const auto placed = place(where, in);
  const auto result = [&](const Buffer<T>& before, auto&& epilogue_of) {
    const auto out = place(where, before);
    run(where, [&](auto execution) {
      kernel(execution, VideoView<const T>(video(placed, from)), epilogue_of(video(out, to)), video(out, to));
    });
    return fetch(where, out);
  };
  check_each<T>(result(poisoned<T>(to.size()), [](auto) { return Store{}; }), expected.values, summed,
                budget);

  const auto before = random_normal<T>(to.size(), engine);
  auto sums = expected.values;
  for (index_t i = 0; i < to.size(); ++i) sums[i] += double(before[i]);
  check_each<T>(result(before, [](auto out) { return Residual<T>{out.rows()}; }), sums, summed + 5,
                {.float_roundings = budget.float_roundings + 1});
}

template <class Place>
void check_shuffles(const Place& where) {
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
      check_rearranged(where, in, from, to, expected, 1,
                       [&](auto execution, auto source, const auto& epilogue, auto target) {
                         pixel_shuffle3d(execution, source, repeat, dropped, epilogue, target);
                       });
    }
}

template <class Place>
void check_unshuffles(const Place& where) {
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
    check_rearranged(where, in, from, to, expected, mean,
                     [&](auto execution, auto source, const auto& epilogue, auto target) {
                       pixel_unshuffle3d(execution, source, mean, 1, epilogue, target);
                     });
  }
}

template <class Place>
void check_channels(const Place& where) {
  std::mt19937 engine(34);
  const Extents narrow{2, 3, 4, 5}, wide{2, 3, 4, 35};
  const auto few = testing::random_normal<float>(narrow.size(), engine);
  const auto many = testing::random_normal<float>(wide.size(), engine);
  oracle::Video repeated(2, 3, 4, 35), averaged(2, 3, 4, 5);
  for (index_t i = 0; i < wide.size(); ++i) repeated.values[i] = few[i / 7];
  for (index_t i = 0; i < wide.size(); ++i) averaged.values[i / 7] += many[i] / 7.0;
  check_rearranged(where, few, narrow, wide, repeated, 1,
                   [](auto execution, auto source, const auto& epilogue, auto target) {
                     repeat_channels(execution, source, epilogue, target);
                   });
  check_rearranged(where, many, wide, narrow, averaged, 7,
                   [](auto execution, auto source, const auto& epilogue, auto target) {
                     average_channels(execution, source, epilogue, target);
                   });
}

}  // namespace stepvideo::testing
