// The cases of quantize_rows, for any place.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include <stepvideo/kernels/elementwise/quantize_rows.hpp>

#include "oracle/linear.hpp"
#include "oracle/sums.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"
#include "support/scaled_rows.hpp"
#include "support/tokens_layout.hpp"

namespace stepvideo::testing {

/// A function of each element: in double, and what the kernel's arithmetic may lose of it.
struct NoFunction : Identity {
  static constexpr int widest_exponent = 30;
  static constexpr double roundings = 2;  // of the scale's inverse and of the product with it
  static void add(oracle::Sums& sums, double value) { sums.add(value, std::abs(value)); }
};
struct OfGelu : GeluTanh {
  static constexpr int widest_exponent = 5;
  static constexpr double roundings = 12;
  /// What its argument loses, the exponential makes a part of the result; nothing where that saturates.
  static void add(oracle::Sums& sums, double x) {
    const double value = oracle::gelu_tanh(x), twice_u = 1.595769122 * (x + 0.044715 * x * x * x);
    sums.add(value, std::abs(value) * (1 + std::abs(twice_u) / (1 + std::exp(twice_u))));
  }
};

/// Rows of any strides: each value is fp8's nearest, the scale is that of the largest, and without a function
/// the bits are those of the host.
template <class In, class Function, class Place>
void check_quantized_rows(const Place& on, std::mt19937& engine, const TokensLayout& layout) {
  // In narrow rows all may be negative, where what GELU leaves vanishes.
  const int widest = layout.width < 64 ? std::min(Function::widest_exponent, 0) : Function::widest_exponent;
  const auto in = random_normal<In>(layout.size(), engine, std::exp2(float(random_int(engine, -30, widest))));
  const index_t rows = layout.batch * layout.tokens;
  auto out_layout = layout;
  out_layout.padding += 16;
  const auto nothing = poisoned<fp8_e4m3>(out_layout.size());
  const auto quantised = [&](const auto& where) {
    const auto placed = place(where, in);
    const auto values = place(where, nothing);
    const auto scales = place(where, poisoned<float>(rows));
    run(where, [&](auto execution) {
      const ScaledTokensView out{out_layout.view(values.data()), scales.vector()};
      if constexpr (std::is_base_of_v<Identity, Function>) {
        quantize_rows(execution, layout.view(placed.data()), out);
      } else {
        quantize_rows(execution, layout.view(placed.data()), out, Function{});
      }
    });
    return std::pair(fetch(where, values), fetch(where, scales));
  };
  const auto [values, scales] = quantised(on);
  BOOST_CHECK(out_layout.leaves_the_rest(nothing, values));
  oracle::Sums expected;
  for (const double value : layout.dense(in.data())) Function::add(expected, value);
  check_scaled_rows(out_layout.dense(values.data()), scales, expected,
                    {.float_roundings = Function::roundings});
  if constexpr (std::is_base_of_v<Identity, Function>) {
    const auto [host_values, host_scales] = quantised(host);
    BOOST_CHECK(same_bits(values, host_values) && same_bits(scales, host_scales));
  }
}

/// Rows that fit a thread block's registers, those of the model's hidden layer, and wider ones.
template <class In, class Function = NoFunction, class Place>
void quantised_rows_are_the_nearest(const Place& on, int trials = 60) {
  std::mt19937 engine(19);
  for (int trial = 0; trial < trials; ++trial) {
    const int widths[] = {1, 7, 64, 129, 256, 1000, 6144, 6152, 8201, 12'296, 24'576, 24'584};
    TokensLayout layout{};
    layout.width = widths[random_int(engine, 0, 11)], layout.batch = random_int(engine, 1, 2);
    layout.tokens = random_int(engine, 1, layout.width > 2000 ? 4 : 20);
    const index_t step = trial % 2 == 0 ? 16 : 1;
    layout.offset = step * random_int(engine, 0, 2);
    layout.padding = step * random_int(engine, 0, 2) + (step == 16 ? (16 - layout.width % 16) % 16 : 0);
    check_quantized_rows<In, Function>(on, engine, layout);
  }
}

/// More rows of the hidden layer's width than blocks stay on a GPU, packs missing at their ends.
template <class Place>
void more_wide_rows_than_blocks(const Place& on) {
  std::mt19937 engine(21);
  for (const index_t batch : {1, 2})
    check_quantized_rows<bf16, OfGelu>(on, engine, {batch, 300, 6160, 16, 16, 0});
}

/// More batch elements than a grid has blocks in y.
template <class Place>
void quantised_rows_of_many_batch_elements(const Place& on) {
  std::mt19937 engine(20);
  for (const index_t width : {16, 3})
    check_quantized_rows<bf16, NoFunction>(on, engine, {65'540, 2, width, 0, 0, 0});
}

/// Nothing is read or written: the views may have no data.
template <Execution E>
void no_rows_to_quantise(E execution) {
  for (const auto& [batch, tokens] : {std::array<index_t, 2>{0, 3}, {2, 0}})
    quantize_rows(execution, TokensView<float>::dense(nullptr, batch, tokens, 8),
                  ScaledTokensView{TokensView<fp8_e4m3>::dense(nullptr, batch, tokens, 8), {}});
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

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void scales_that_do_not_fit_are_refused(E execution) {
  const Buffer<float> in(48), scales(6);
  const Buffer<fp8_e4m3> out(48);
  const auto view = TokensView<float>::dense(in.data(), 2, 3, 8),
             missing = TokensView<float>::dense(nullptr, 2, 3, 8);
  const auto rows = [](fp8_e4m3* data, index_t width) {
    return TokensView<fp8_e4m3>::dense(data, 2, 3, width);
  };
  const auto refuses = [&](TokensView<float> from, const ScaledTokensView& result, const char* text) {
    check_refused([&] { quantize_rows(execution, from, result); }, text);
  };
  refuses(view, {rows(out.data(), 8), {scales.data(), 5}}, "5 scales for 6 rows");
  refuses(view, {rows(out.data(), 7), scales.vector()}, "out (2, 3, 7)");
  refuses(missing, {rows(out.data(), 8), scales.vector()},
          "quantize_rows: in has no data for its 48 elements");
  refuses(view, {rows(nullptr, 8), scales.vector()}, "quantize_rows: out has no data");
  refuses(view, {rows(out.data(), 8), {nullptr, 6}}, "scales has no data");
}

}  // namespace stepvideo::testing
