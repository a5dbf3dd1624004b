// The cases of quantize_rows, for any execution.
#pragma once
#include <limits>

#include <stepvideo/kernels/elementwise/quantize_rows.hpp>

#include "oracle/quantize_rows.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

template <class In, Execution E>
void quantised_rows_are_the_nearest(E execution) {
  std::mt19937 engine(19);
  for (int trial = 0; trial < 60; ++trial) {
    const index_t widths[] = {1, 7, 64, 129, 256, 1000, 6144, 6152, 8201};
    const index_t width = widths[random_int(engine, 0, 8)], batch = random_int(engine, 1, 2);
    const index_t tokens = random_int(engine, 1, width > 2000 ? 4 : 20), step = trial % 2 == 0 ? 16 : 1;
    const index_t offset = step * random_int(engine, 0, 2), padding = step * random_int(engine, 0, 2);
    const index_t stride = width + padding + (step == 16 ? (16 - width % 16) % 16 : 0);
    const auto in = random_normal<In>(offset + batch * tokens * stride, engine,
                                      std::exp2(float(random_int(engine, -30, 30))));
    const TokensView<const In> view{in.data() + offset, batch, tokens, width, tokens * stride, stride};

    const auto quantised = [&](auto run_on) {
      const auto placed = place(run_on, in);
      const auto values = place(run_on, poisoned<fp8_e4m3>(offset + batch * tokens * stride));
      const auto scales = place(run_on, poisoned<float>(batch * tokens));
      quantize_rows(
          run_on, TokensView<const In>{placed.data() + offset, batch, tokens, width, tokens * stride, stride},
          ScaledTokensView{{values.data() + offset, batch, tokens, width, tokens * stride, stride},
                           scales.vector()});
      return std::pair(fetch(run_on, values), fetch(run_on, scales));
    };
    const auto [values, scales] = quantised(execution);
    bool is_nearest = true;
    for (index_t row = 0; row < batch * tokens; ++row) {
      const In* source = view.row(row / tokens, row % tokens);
      double largest = 0;
      for (index_t i = 0; i < width; ++i) largest = std::max(largest, std::abs(double(float(source[i]))));
      const double scale = scales[row];
      is_nearest = is_nearest && std::abs(scale - largest / 448) <= 1e-7 * scale;
      for (index_t i = 0; i < width; ++i) {
        const double value = float(source[i]),
                     kept = double(float(values[offset + row * stride + i])) * scale;
        is_nearest =
            is_nearest && std::abs(value - kept) <= oracle::largest_fp8_error(value, scale) * (1 + 1e-5);
      }
    }
    BOOST_CHECK_MESSAGE(is_nearest, "rows of " << width << " are not rounded to the nearest");
    const auto [host_values, host_scales] = quantised(host);
    BOOST_CHECK(same_bits(values, host_values) && same_bits(scales, host_scales));
  }
}

/// One row each: zeros, the smallest floats, a NaN, an infinity.
template <Execution E>
void rows_of_zeros_and_of_what_is_no_number(E execution) {
  constexpr float infinity = std::numeric_limits<float>::infinity(),
                  nan = std::numeric_limits<float>::quiet_NaN(),
                  tiny = std::numeric_limits<float>::denorm_min();
  for (const index_t width : {8, 9}) {
    Buffer<float> in(5 * width);
    std::fill(in.begin(), in.end(), 0.0f);
    in[width] = tiny, in[2 * width] = 448.0f, in[2 * width + 1] = nan, in[2 * width + 2] = -2.0f;
    in[3 * width] = -infinity, in[3 * width + 1] = 1.0f;
    for (index_t i = 4 * width; i < in.size(); ++i) in[i] = nan;
    const auto placed = place(execution, in);
    const auto out = place(execution, poisoned<fp8_e4m3>(in.size()));
    const auto placed_scales = place(execution, poisoned<float>(5));
    quantize_rows(
        execution, TokensView<float>::dense(placed.data(), 1, 5, width),
        ScaledTokensView{TokensView<fp8_e4m3>::dense(out.data(), 1, 5, width), placed_scales.vector()});
    const auto values = fetch(execution, out);
    const auto scales = fetch(execution, placed_scales);
    const auto kept = [&](index_t row, index_t i) { return float(values[row * width + i]) * scales[row]; };
    for (index_t i = 0; i < width; ++i) BOOST_CHECK_EQUAL(kept(0, i), 0.0f);
    BOOST_CHECK(std::isnormal(scales[0]) && std::isnormal(scales[1]));
    BOOST_CHECK_SMALL(kept(1, 0), 1e-38f);
    BOOST_CHECK_EQUAL(kept(2, 0), 448.0f);
    BOOST_CHECK(std::isnan(kept(2, 1)));
    BOOST_CHECK_EQUAL(kept(2, 2), -2.0f);
    BOOST_CHECK_EQUAL(scales[3], infinity);
    for (index_t i = 0; i < width; ++i) BOOST_CHECK(std::isnan(kept(3, i)) && std::isnan(kept(4, i)));
  }
}

template <Execution E>
void scales_that_do_not_fit_are_refused(E execution) {
  const Buffer<float> in(48), scales(5);
  const Buffer<fp8_e4m3> out(48);
  const auto view = TokensView<float>::dense(in.data(), 2, 3, 8);
  const auto refuses = [&](const ScaledTokensView& result, const char* text) {
    BOOST_CHECK_EXCEPTION(
        quantize_rows(execution, view, result), RequestError,
        [&](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; });
  };
  refuses({TokensView<fp8_e4m3>::dense(out.data(), 2, 3, 8), scales.vector()}, "5 scales for 6 rows");
  refuses({TokensView<fp8_e4m3>::dense(out.data(), 2, 3, 7), scales.vector()}, "out (2, 3, 7)");
}

}  // namespace stepvideo::testing
