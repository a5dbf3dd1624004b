// The cases of linear of fp8 rows, for any execution.
#pragma once
#include <random>

#include <stepvideo/kernels/elementwise/quantize_rows.hpp>
#include <stepvideo/kernels/linear/scaled_linear.hpp>

#include "oracle/linear.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

/// A matrix of normal values, some rows a thousand times larger, as fp8 with scales.
template <Execution E>
struct ScaledMatrix {
  Buffer<fp8_e4m3> host_values;
  Buffer<float> host_scales;
  Buffer<fp8_e4m3, E> values;
  Buffer<float, E> scales;
  index_t rows, columns;

  ScaledMatrix(E execution, index_t row_count, index_t column_count, float size, std::mt19937& engine)
      : host_values(row_count * column_count),
        host_scales(row_count),
        rows(row_count),
        columns(column_count) {
    auto floats = random_normal<float>(rows * columns, engine, size);
    for (index_t row = 0; row < rows; row += 7)
      for (index_t c = 0; c < columns; ++c) floats[row * columns + c] *= 1000;
    quantize_rows(host, TokensView<const float>::dense(floats.data(), 1, rows, columns),
                  {TokensView<fp8_e4m3>::dense(host_values.data(), 1, rows, columns), host_scales.vector()});
    values = place(execution, host_values);
    scales = place(execution, host_scales);
  }
  ScaledRows view() const { return {values.matrix(rows, columns), scales.vector()}; }
};

/// Every element against the products of the same fp8 in double. `sum_error`: what the execution may lose of
/// a sum, of its terms' magnitudes, in float32 roundings.
template <class Out, Execution E>
void scaled_products_agree_with_the_oracle(E execution, double sum_error) {
  std::mt19937 engine(61);
  const index_t shapes[][3] = {{1, 16, 16},     {17, 48, 48},    {129, 160, 32}, {64, 512, 256},
                               {300, 1024, 96}, {33, 6144, 128}, {5, 32, 16},    {257, 64, 144}};
  for (const auto& [rows, depth, columns] : shapes) {
    BOOST_TEST_CONTEXT(rows << " x " << columns << " of depth " << depth) {
      const ScaledMatrix in(execution, rows, depth, 1.0f, engine),
          weight(execution, columns, depth, 0.05f, engine);
      const auto host_bias = random_normal<Out>(columns, engine);
      const auto host_residual = random_normal<Out>(rows * columns, engine, 30.0f);
      const auto bias = place(execution, host_bias), residual = place(execution, host_residual);
      const MatrixView<const fp8_e4m3> of_in = in.host_values.matrix(rows, depth),
                                       of_weight = weight.host_values.matrix(columns, depth);
      const auto products = oracle::linear(of_in, of_weight),
                 summed = oracle::linear_summed(of_in, of_weight);
      const auto check = [&](const auto& epilogue, const auto& finish, const auto& finish_summed) {
        const auto out = place(execution, poisoned<Out>(rows * columns));
        linear(execution, in.view(), weight.view(), epilogue, out.matrix(rows, columns));
        std::vector<double> expected, magnitudes;
        for (index_t r = 0; r < rows; ++r)
          for (index_t c = 0; c < columns; ++c) {
            const auto i = static_cast<std::size_t>(r * columns + c);
            const double scale = double(in.host_scales[r]) * weight.host_scales[c];
            expected.push_back(finish(products[i] * scale, r, c));
            magnitudes.push_back(finish_summed(summed[i] * scale, r, c));
          }
        check_each<Out>(
            fetch(execution, out), expected, magnitudes,
            {.float_roundings = sum_error, .element_roundings = std::same_as<Out, float> ? 0.0 : 1.0});
      };
      const auto same = [](double y, index_t, index_t) { return y; };
      const auto biased = [&](double y, index_t, index_t c) { return y + float(host_bias[c]); };
      const auto added = [&](double y, index_t r, index_t c) {
        return y + float(host_residual[r * columns + c]);
      };
      const auto magnitude = [](auto of) {
        return [of](double y, index_t r, index_t c) { return y + std::abs(of(0.0, r, c)); };
      };
      check(Store{}, same, same);
      check(Bias<Out>{bias.vector()}, biased, magnitude(biased));
      check(Residual<Out>{residual.matrix(rows, columns)}, added, magnitude(added));
      // What no library has: a pass of its own.
      check(
          Activate<Silu>{}, [](double y, index_t, index_t) { return y / (1 + std::exp(-y)); }, same);
    }
  }
}

template <Execution E>
void scaled_requests_that_do_not_fit_are_refused(E execution) {
  std::mt19937 engine(62);
  const ScaledMatrix in(execution, 4, 32, 1.0f, engine), weight(execution, 16, 32, 1.0f, engine);
  const auto out = place(execution, poisoned<float>(64));
  const auto call = [&](const ScaledRows& left, const ScaledRows& right) {
    linear(execution, left, right, Store{}, out.matrix(4, right.values.rows));
  };
  check_refused([&] { call({in.values.matrix(4, 32), {in.scales.data(), 3}}, weight.view()); }, "3 scales");
  check_refused([&] { call(in.view(), {weight.values.matrix(16, 32), {nullptr, 16}}); }, "have no memory");
  check_refused([&] { call({in.values.matrix(4, 16), in.scales.vector()}, weight.view()); }, "depth");
  check_refused(
      [&] {
        call(in.view(), {weight.values.matrix(8, 32), {weight.scales.data(), 8}});
      },
      "multiples of 16");
}

}  // namespace stepvideo::testing
