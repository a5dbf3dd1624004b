// The cases of quantised attention operands, for any execution.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <stepvideo/kernels/attention/quantize_attention.hpp>

#include "kernels/attention/fp8_problem.hpp"
#include "oracle/quantize_attention.hpp"
#include "support/compare.hpp"

namespace stepvideo::testing {

/// What is subtracted: the mean, or zero where it is below a 64th of the largest magnitude.
inline bool is_center_of(double center, double mean, double largest) {
  return std::abs(center - mean) <= 2e-6 ? std::abs(mean) >= largest / 64 * 0.999 || mean == 0 || center == 0
                                         : center == 0 && std::abs(mean) <= largest / 64 * 1.001;
}

inline const int fp8_token_counts[] = {1, 2, 31, 32, 127, 128, 129, 200, 255, 257, 513, 700};

/// Rounding to fp8 moves a value by at most this share of it, or of 2^-9 of its scale for the smallest.
inline bool is_fp8_rounding_of(double value, double scale, double code) {
  return std::abs(scale * code - value) <= std::abs(value) / 16 * 1.001 + scale * 0x1p-10 * 1.001;
}

template <class T, Execution E>
void quantized_heads_read_back_as_what_they_were(E execution) {
  std::mt19937 engine(41);
  for (int trial = 0; trial < 30; ++trial) {
    const index_t batch = random_int(engine, 1, 2), heads = random_int(engine, 1, 3),
                  dim = trial % 4 == 0 ? 64 : 128;
    const index_t tokens = fp8_token_counts[random_int(engine, 0, 11)];
    const StridedHeads<T> in(engine, trial % 3, batch, tokens, heads, dim, true);
    const bool rotate = trial % 2, center = trial % 4 < 2, has_lengths = trial % 5 == 0;
    const auto storage = carry(execution, in.storage);
    Buffer<index_t> lengths(batch);
    for (index_t& length : lengths) length = random_int(engine, -3, static_cast<int>(tokens) + 3);
    const auto carried_lengths = carry(execution, lengths);
    QuantizeOptions options{.rotate = rotate, .center = center};
    if (has_lengths) options.lengths = {carried_lengths.data(), batch};

    const index_t blocks = quantization_blocks(tokens);
    const auto codes = carry(execution, poisoned<fp8_e4m3>(batch * tokens * heads * dim));
    const auto scales = carry(execution, poisoned<float>(batch * blocks * heads));
    const auto means = carry(execution, poisoned<float>(batch * heads * dim));
    const auto means_view = HeadsView<float>::dense(means.data(), batch, 1, heads, dim);
    const auto bytes = channel_extents_workspace(execution, HeadsView<const T>(in.in(storage)));
    const Buffer<std::byte, E> workspace(execution, static_cast<index_t>(bytes));
    if (center) mean_of_heads<T>(execution, in.in(storage), options, means_view, Workspace(workspace));
    quantize_heads<T>(
        execution, in.in(storage), center ? means_view : HeadsView<float>{}, options,
        QuantizedHeads<fp8_e4m3>::head_major(codes.data(), scales.data(), batch, tokens, heads, dim));

    const auto got = bring(codes);
    const auto got_scales = bring(scales), got_means = bring(means);
    const auto read =
        QuantizedHeads<fp8_e4m3>::head_major(got.data(), got_scales.data(), batch, tokens, heads, dim);
    index_t wrong = 0;
    for (index_t b = 0; b < batch; ++b)
      for (index_t h = 0; h < heads; ++h) {
        const index_t visible = has_lengths ? std::clamp<index_t>(lengths[b], 0, tokens) : tokens;
        std::vector<double> mean(static_cast<std::size_t>(dim), 0.0);
        for (index_t i = 0; center && i < dim; ++i) {
          double sum = 0, largest = 0;
          for (index_t t = 0; t < visible; ++t) {
            sum += double(in.view.row(b, t, h)[i]);
            largest = std::max(largest, std::abs(double(in.view.row(b, t, h)[i])));
          }
          mean[std::size_t(i)] = got_means[(b * heads + h) * dim + i];
          BOOST_CHECK(is_center_of(mean[std::size_t(i)], visible > 0 ? sum / double(visible) : 0, largest));
        }
        for (index_t block = 0; block < blocks; ++block) {
          double largest = 0;
          const index_t end = std::min((block + 1) * 128, tokens);
          for (index_t t = block * 128; t < end; ++t) {
            std::vector<double> row(static_cast<std::size_t>(dim), 0.0);
            for (index_t i = 0; t < visible && i < dim; ++i)
              row[std::size_t(i)] = double(in.view.row(b, t, h)[i]) - mean[std::size_t(i)];
            if (rotate) row = oracle::rotated(row);
            for (index_t i = 0; i < dim; ++i) {
              largest = std::max(largest, std::abs(row[std::size_t(i)]));
              wrong += !is_fp8_rounding_of(row[std::size_t(i)], read.scale(b, block, h),
                                           float(read.values.row(b, t, h)[i]));
            }
          }
          // The scale of zeros is the smallest normal float.
          const double expected = std::max(largest / 448, 0x1p-126);
          BOOST_CHECK_CLOSE(double(read.scale(b, block, h)), expected, 1e-3);
        }
      }
    BOOST_CHECK_EQUAL(wrong, 0);
  }
}

template <class T, Execution E>
void quantized_values_read_back_as_what_they_were(E execution) {
  std::mt19937 engine(43);
  for (int trial = 0; trial < 30; ++trial) {
    const index_t batch = random_int(engine, 1, 2), heads = random_int(engine, 1, 3),
                  dim = trial % 4 == 0 ? 64 : 128;
    const index_t tokens = trial == 0 ? 2309 : fp8_token_counts[random_int(engine, 0, 11)],
                  padded = (tokens + 127) / 128 * 128;
    const StridedHeads<T> in(engine, trial % 3, batch, tokens, heads, dim, true);
    const auto storage = carry(execution, in.storage);
    const bool center = trial % 2, has_lengths = trial % 5 == 0;
    Buffer<index_t> lengths(batch);
    for (index_t& length : lengths) length = random_int(engine, -3, static_cast<int>(tokens) + 3);
    const auto carried_lengths = carry(execution, lengths);
    QuantizeOptions options{.center = center};
    if (has_lengths) options.lengths = {carried_lengths.data(), batch};

    const auto codes = carry(execution, poisoned<fp8_e4m3>(batch * padded * heads * dim));
    const auto scales = carry(execution, poisoned<float>(batch * heads * dim));
    const auto means = carry(execution, poisoned<float>(batch * heads * dim));
    const auto bytes = channel_extents_workspace(execution, HeadsView<const T>(in.in(storage)));
    const Buffer<std::byte, E> workspace(execution, static_cast<index_t>(bytes));
    quantize_values<T>(execution, in.in(storage), options,
                       QuantizedValues<fp8_e4m3>::head_major(codes.data(), scales.data(), means.data(), batch,
                                                             tokens, heads, dim),
                       Workspace(workspace));

    const auto got = bring(codes);
    const auto got_scales = bring(scales), got_means = bring(means);
    index_t wrong = 0;
    for (index_t b = 0; b < batch; ++b)
      for (index_t h = 0; h < heads; ++h)
        for (index_t i = 0; i < dim; ++i) {
          const index_t channel = (b * heads + h) * dim + i;
          const index_t visible = has_lengths ? std::clamp<index_t>(lengths[b], 0, tokens) : tokens;
          double sum = 0, largest = 0;
          for (index_t t = 0; t < visible; ++t) sum += double(in.view.row(b, t, h)[i]);
          const double mean = center && visible > 0 ? sum / double(visible) : 0;
          double largest_uncentered = 0;
          for (index_t t = 0; t < visible; ++t) {
            const double value = double(in.view.row(b, t, h)[i]);
            largest_uncentered = std::max(largest_uncentered, std::abs(value));
            largest = std::max(largest, std::abs(value - got_means[channel]));
          }
          BOOST_CHECK(is_center_of(got_means[channel], mean, largest_uncentered));
          if (largest > 1e-5) BOOST_CHECK_CLOSE(double(got_scales[channel]), largest / 448, 2e-2);
          for (index_t position = 0; position < padded; ++position) {
            const index_t t = position / 16 * 16 + oracle::tokens_at_positions[position % 16];
            const double value = t < visible ? double(in.view.row(b, t, h)[i]) - got_means[channel] : 0;
            wrong += !is_fp8_rounding_of(value, got_scales[channel], float(got[channel * padded + position]));
          }
        }
    BOOST_CHECK_EQUAL(wrong, 0);
  }
}

}  // namespace stepvideo::testing
