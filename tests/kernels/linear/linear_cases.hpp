// The cases of linear, for any execution.
#pragma once
#include <cmath>

#include <stepvideo/kernels/linear/linear.hpp>

#include "oracle/linear.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

/// A matrix somewhere in a larger buffer: packed or padded, on or off the grid of wide accesses.
struct MatrixPlace {
  index_t rows, columns, offset = 0, padding = 0;

  static MatrixPlace random(std::mt19937& engine, index_t rows, index_t columns) {
    const index_t step = random_int(engine, 0, 1) == 0 ? 8 : 1;
    return {rows, columns, step * random_int(engine, 0, 3),
            step * random_int(engine, 0, 3) + (step == 8 ? (8 - columns % 8) % 8 : 0)};
  }
  index_t stride() const { return columns + padding; }
  index_t size() const { return offset + rows * stride(); }
  template <class T>
  MatrixView<T> view(T* data) const {
    return {data + offset, rows, columns, stride()};
  }
  /// The elements of the matrix, and whether what lies around them is still poison.
  template <class T>
  std::vector<float> dense(const Buffer<T>& values, bool& is_clean_around) const {
    std::vector<float> elements;
    is_clean_around = true;
    for (index_t i = 0; i < values.size(); ++i) {
      const index_t at = i - offset;
      const float value = float(values.data()[i]);
      if (at >= 0 && at % stride() < columns) {
        elements.push_back(value);
      } else {
        is_clean_around = is_clean_around && std::isnan(value);
      }
    }
    return elements;
  }
};

/// What an element should be, and the sum of the absolute values of what makes it.
struct ExpectedElement {
  double value, summed;
};

/// One random layer: in (rows, depth), weight (columns * products, depth), and what epilogues need, in the
/// memory of an execution.
template <class T, class Out, Execution E>
struct RandomLayer {
  E execution;
  index_t rows, columns;
  MatrixPlace in_at, weight_at, out_at;
  index_t bias_offset;
  Buffer<T> host_in, host_weight;
  Buffer<Out> host_bias, host_residual;
  Buffer<float> host_gate;
  Buffer<T, E> in_values, weight_values;
  Buffer<Out, E> bias_values, residual_values;
  Buffer<float, E> gate_values;
  std::vector<double> products, summed;  ///< of the oracle

  RandomLayer(E execution, std::mt19937& engine, index_t rows, index_t depth, index_t columns,
              index_t products_each = 1)
      : execution(execution),
        rows(rows),
        columns(columns),
        in_at(MatrixPlace::random(engine, rows, depth)),
        weight_at(MatrixPlace::random(engine, products_each * columns, depth)),
        out_at(MatrixPlace::random(engine, rows, columns)),
        bias_offset(8 * random_int(engine, 0, 1) + (random_int(engine, 0, 3) == 0 ? 1 : 0)),
        host_in(random_normal<T>(in_at.size(), engine)),
        host_weight(random_normal<T>(weight_at.size(), engine, 1 / std::sqrt(static_cast<float>(depth)))),
        host_bias(random_normal<Out>(bias_offset + columns, engine)),
        host_residual(random_normal<Out>(out_at.size(), engine)),
        host_gate(random_normal<float>(rows * columns, engine)),
        in_values(place(execution, host_in)),
        weight_values(place(execution, host_weight)),
        bias_values(place(execution, host_bias)),
        residual_values(place(execution, host_residual)),
        gate_values(place(execution, host_gate)),
        products(
            oracle::linear(in_at.view<const T>(host_in.data()), weight_at.view<const T>(host_weight.data()))),
        summed(oracle::linear_summed(in_at.view<const T>(host_in.data()),
                                     weight_at.view<const T>(host_weight.data()))) {}

  MatrixView<const T> in() const { return in_at.view<const T>(in_values.data()); }
  MatrixView<const T> weight() const { return weight_at.view<const T>(weight_values.data()); }
  VectorView<const Out> bias() const { return {bias_values.data() + bias_offset, columns}; }
  MatrixView<const Out> residual() const { return out_at.view<const Out>(residual_values.data()); }
  double bias_at(index_t c) const { return double(float(host_bias.data()[bias_offset + c])); }
  double residual_at(index_t r, index_t c) const {
    return double(float(host_residual.data()[out_at.offset + r * out_at.stride() + c]));
  }
  double gate_at(index_t batch, index_t c) const { return double(host_gate.data()[batch * columns + c]); }

  /// linear with `epilogue`, into poison or in place of the residual, against `formula(row, column)`.
  template <class Epilogue, class Formula>
  void check(const Epilogue& epilogue, Formula&& formula, const Budget& budget, bool in_place = false,
             std::source_location at = std::source_location::current()) const {
    auto initial = poisoned<Out>(out_at.size());
    if (in_place) {
      bool unused = true;
      const auto values = out_at.dense(host_residual, unused);
      for (index_t i = 0; i < rows * columns; ++i)
        initial.data()[out_at.offset + i / columns * out_at.stride() + i % columns] =
            Out(values[static_cast<std::size_t>(i)]);
    }
    const auto out = place(execution, initial);
    linear(execution, in(), weight(), epilogue_over(epilogue, out), out_at.view<Out>(out.data()));
    bool is_clean_around = true;
    const auto actual = out_at.dense(fetch(execution, out), is_clean_around);
    BOOST_CHECK_MESSAGE(is_clean_around, at.line() << ": something was written beside the result");
    std::vector<double> expected, magnitudes;
    for (index_t r = 0; r < rows; ++r)
      for (index_t c = 0; c < columns; ++c) {
        const ExpectedElement element = formula(r, c);
        expected.push_back(element.value);
        magnitudes.push_back(element.summed);
      }
    check_each<Out>(actual, expected, magnitudes, budget, at);
  }
  double product(index_t r, index_t c, index_t which = 0) const {
    return products[static_cast<std::size_t>(r * weight_at.rows + which * columns + c)];
  }
  double product_summed(index_t r, index_t c, index_t which = 0) const {
    return summed[static_cast<std::size_t>(r * weight_at.rows + which * columns + c)];
  }

 private:
  /// The epilogue as it is, or made for the result's memory where it is a function of it.
  template <class Epilogue>
  auto epilogue_over(const Epilogue& epilogue, const Buffer<Out, E>& out) const {
    if constexpr (requires { epilogue(out_at.view<Out>(out.data())); }) {
      return epilogue(out_at.view<Out>(out.data()));
    } else {
      return epilogue;
    }
  }
};

/// test(engine, rows, depth, columns) for ragged shapes and for some on the grid of 8.
template <class Test>
void on_random_layers(Test&& test) {
  std::mt19937 engine(11);
  const int extents[] = {1, 2, 3, 15, 16, 17, 64, 127, 128, 129, 216, 257, 300};
  const auto extent = [&] { return index_t{extents[random_int(engine, 0, std::size(extents) - 1)]}; };
  for (int trial = 0; trial < 25; ++trial) {
    const index_t depth = trial % 2 == 0 ? 2 * extent() + 1 : 8 * extent();
    test(engine, extent(), depth, extent());
  }
}

/// An operation loses some float32 roundings of what it sums. Inside the library's product an epilogue loses
/// one of the result's element more: GELU's tanh has 11 bits there, and a product of a split depth comes to
/// its bias and its residual rounded.
inline constexpr Budget linear_budget{.float_roundings = 24};
template <class Out>
inline constexpr Budget library_budget{.float_roundings = 24,
                                       .element_roundings = std::same_as<Out, float> ? 0.0 : 1.0};

template <class T, class Out, Execution E>
void single_epilogues_agree_with_the_oracle(E execution) {
  on_random_layers([&](std::mt19937& engine, index_t rows, index_t depth, index_t columns) {
    const RandomLayer<T, Out, E> layer(execution, engine, rows, depth, columns);
    const auto y = [&](index_t r, index_t c) { return layer.product(r, c); };
    const auto size = [&](index_t r, index_t c) { return layer.product_summed(r, c); };
    const auto biased = [&](index_t r, index_t c) { return y(r, c) + layer.bias_at(c); };
    const auto biased_size = [&](index_t r, index_t c) { return size(r, c) + std::abs(layer.bias_at(c)); };
    const auto check = [&](const auto& epilogue, const auto& value, const auto& summed,
                           const Budget& budget = linear_budget) {
      layer.check(
          epilogue,
          [&](index_t r, index_t c) {
            return ExpectedElement{value(r, c), summed(r, c)};
          },
          budget);
    };
    const Bias<Out> bias{layer.bias()};
    const Residual<Out> residual{layer.residual()};
    const auto residual_size = [&](index_t r, index_t c) { return std::abs(layer.residual_at(r, c)); };
    check(Store{}, y, size);
    check(bias, biased, biased_size, library_budget<Out>);
    check(
        Activate<Silu>{}, [&](index_t r, index_t c) { return oracle::silu(y(r, c)); }, size);
    check(
        Activate<GeluTanh>{}, [&](index_t r, index_t c) { return oracle::gelu_tanh(y(r, c)); }, size,
        library_budget<Out>);
    check(
        chain(bias, Activate<GeluTanh>{}),
        [&](index_t r, index_t c) { return oracle::gelu_tanh(biased(r, c)); }, biased_size,
        library_budget<Out>);
    check(
        chain(bias, Activate<GeluErf>{}),
        [&](index_t r, index_t c) { return oracle::gelu_erf(biased(r, c)); }, biased_size);
    check(
        residual, [&](index_t r, index_t c) { return y(r, c) + layer.residual_at(r, c); },
        [&](index_t r, index_t c) { return size(r, c) + residual_size(r, c); }, library_budget<Out>);
    check(
        chain(bias, residual), [&](index_t r, index_t c) { return biased(r, c) + layer.residual_at(r, c); },
        [&](index_t r, index_t c) { return biased_size(r, c) + residual_size(r, c); }, library_budget<Out>);
  });
}

template <class T, class Out, Execution E>
void a_residual_may_be_the_result(E execution) {
  on_random_layers([&](std::mt19937& engine, index_t rows_per_batch, index_t depth, index_t columns) {
    const index_t batch = random_int(engine, 1, 3), rows = batch * rows_per_batch;
    const RandomLayer<T, Out, E> layer(execution, engine, rows, depth, columns);
    const auto gates = MatrixView<const float>::dense(layer.gate_values.data(), batch, columns);
    layer.check([&](MatrixView<Out> out) { return Residual<Out>{out}; },
                [&](index_t r, index_t c) {
                  const double residual = layer.residual_at(r, c);
                  return ExpectedElement{residual + layer.product(r, c),
                                         std::abs(residual) + layer.product_summed(r, c)};
                },
                linear_budget, true);
    layer.check(
        [&](MatrixView<Out> out) {
          return GatedResidual<Out>{out, gates, rows_per_batch};
        },
        [&](index_t r, index_t c) {
          const double residual = layer.residual_at(r, c), gate = layer.gate_at(r / rows_per_batch, c);
          return ExpectedElement{residual + gate * layer.product(r, c),
                                 std::abs(residual) + std::abs(gate) * layer.product_summed(r, c)};
        },
        linear_budget, true);
  });
}

template <class T, class Out, Execution E>
void swiglu_pairs_the_halves_of_the_weight(E execution) {
  on_random_layers([&](std::mt19937& engine, index_t rows, index_t depth, index_t columns) {
    const RandomLayer<T, Out, E> layer(execution, engine, rows, depth, columns, 2);
    layer.check(
        SwiGlu{},
        [&](index_t r, index_t c) {
          const double gate = oracle::silu(layer.product(r, c)), up = layer.product(r, c, 1);
          return ExpectedElement{gate * up, layer.product_summed(r, c) * std::abs(up) +
                                                std::abs(gate) * layer.product_summed(r, c, 1)};
        },
        linear_budget);
  });
}

/// A bias of another element than the result's, which no library takes.
template <Execution E>
void a_float_result_of_bf16_inputs_is_not_rounded(E execution) {
  on_random_layers([&](std::mt19937& engine, index_t rows, index_t depth, index_t columns) {
    const RandomLayer<bf16, float, E> layer(execution, engine, rows, depth, columns);
    const auto host_bias = random_normal<bf16>(columns, engine);
    const auto bias = place(execution, host_bias);
    layer.check(
        Bias<bf16>{bias.vector()},
        [&](index_t r, index_t c) {
          const double added = double(float(host_bias.data()[c]));
          return ExpectedElement{layer.product(r, c) + added, layer.product_summed(r, c) + std::abs(added)};
        },
        linear_budget);
  });
}

/// None of these needs more than the views: `execution` may be a device that is not there.
template <Execution E>
void linear_refuses_views_by_name(E execution) {
  const Buffer<float> values(64);
  const auto says = [](const char* text) {
    return [text](const RequestError& error) {
      return std::string(error.what()).find(text) != std::string::npos;
    };
  };
  const auto in = values.matrix(2, 4), weight = values.matrix(3, 4), out = values.matrix(2, 3);
  BOOST_CHECK_EXCEPTION(linear(execution, in, values.matrix(3, 5), Store{}, out), RequestError,
                        says("in is (2, 4), weight (3, 5) and out (2, 3)"));
  BOOST_CHECK_EXCEPTION(linear(execution, in, weight, SwiGlu{}, out), RequestError, says("columns * 2"));
  BOOST_CHECK_EXCEPTION(linear(execution, in, weight, Bias<float>{{values.data(), 2}}, out), RequestError,
                        says("the bias has 2 elements"));
  BOOST_CHECK_EXCEPTION(linear(execution, in, weight, Residual<float>{values.matrix(3, 3)}, out),
                        RequestError, says("the residual is (3, 3)"));
  BOOST_CHECK_EXCEPTION(linear(execution, in, weight, GatedResidual<float>{out, values.matrix(2, 3), 2}, out),
                        RequestError, says("the gate is (2, 3) for 2 rows each"));
  BOOST_CHECK_EXCEPTION(linear(execution, in, weight, Store{}, out, {.planned_rows = -1}), RequestError,
                        says("planned_rows is -1"));
}

}  // namespace stepvideo::testing
