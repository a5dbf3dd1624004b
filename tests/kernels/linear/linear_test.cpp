#define BOOST_TEST_MODULE linear
#include "oracle/linear.hpp"

#include <cmath>
#include <tuple>

#include <omp.h>

#include <stepvideo/kernels/linear/linear.hpp>

#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;

namespace {

/// One random layer: in (rows, depth), weight (columns * products, depth), both with padded rows.
template <class T>
struct Layer {
  index_t rows, depth, columns, products, padding;
  Buffer<T> in_values, weight_values, bias, residual;
  Buffer<float> gate;

  Layer(std::mt19937& engine, index_t rows, index_t depth, index_t columns, index_t products = 1)
      : rows(rows),
        depth(depth),
        columns(columns),
        products(products),
        padding(testing::random_int(engine, 0, 5)),
        in_values(testing::random_normal<T>(rows * (depth + padding), engine)),
        weight_values(testing::random_normal<T>(products * columns * (depth + padding), engine,
                                                1 / std::sqrt(static_cast<float>(depth)))),
        bias(testing::random_normal<T>(columns, engine)),
        residual(testing::random_normal<T>(rows * columns, engine)),
        gate(testing::random_normal<float>(rows * columns, engine)) {}

  MatrixView<const T> in() const { return {in_values.data(), rows, depth, depth + padding}; }
  MatrixView<const T> weight() const {
    return {weight_values.data(), products * columns, depth, depth + padding};
  }
  /// The double results after `epilogue(y, row, column)`.
  template <class Function>
  std::vector<double> expected(Function&& epilogue) const {
    auto values = oracle::linear(in(), weight());
    for (index_t i = 0; i < std::ssize(values); ++i)
      values[i] = epilogue(values[i], i / columns, i % columns);
    return values;
  }
};

template <class T>
constexpr double bound = std::same_as<T, float> ? 2e-6 : 4e-3;

template <class T, class Test>
void on_random_layers(Test&& test) {
  std::mt19937 engine(11);
  const int extents[] = {1, 2, 3, 15, 16, 17, 64, 127, 128, 129, 216, 257, 300};
  const auto extent = [&] { return extents[testing::random_int(engine, 0, std::size(extents) - 1)]; };
  for (int trial = 0; trial < 25; ++trial) test(engine, extent(), 2 * extent() + 1, extent());
}

}  // namespace

using Elements = std::tuple<float, bf16>;

BOOST_AUTO_TEST_CASE_TEMPLATE(single_epilogues_agree_with_the_oracle_on_ragged_shapes, T, Elements) {
  on_random_layers<T>([](std::mt19937& engine, index_t rows, index_t depth, index_t columns) {
    const Layer<T> layer(engine, rows, depth, columns);
    const auto check = [&](const auto& epilogue, auto&& formula) {
      const auto out = testing::poisoned<T>(rows * columns);
      linear(host, layer.in(), layer.weight(), epilogue, out.matrix(rows, columns));
      STEPVIDEO_CHECK_CLOSE(out, layer.expected(formula), bound<T>);
    };
    const auto bias = [&](index_t c) { return double(layer.bias[c]); };
    check(Store{}, [](double y, index_t, index_t) { return y; });
    check(Bias<T>{layer.bias.vector()}, [&](double y, index_t, index_t c) { return y + bias(c); });
    check(Activate<Silu>{}, [](double y, index_t, index_t) { return oracle::silu(y); });
    check(chain(Bias<T>{layer.bias.vector()}, Activate<GeluTanh>{}),
          [&](double y, index_t, index_t c) { return oracle::gelu_tanh(y + bias(c)); });
    check(chain(Bias<T>{layer.bias.vector()}, Activate<GeluErf>{}),
          [&](double y, index_t, index_t c) { return oracle::gelu_erf(y + bias(c)); });
    check(chain(Bias<T>{layer.bias.vector()}, Residual<T>{layer.residual.matrix(rows, columns)}),
          [&](double y, index_t r, index_t c) {
            return y + bias(c) + double(layer.residual[r * columns + c]);
          });
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(each_batch_element_has_its_own_gate, T, Elements) {
  on_random_layers<T>([](std::mt19937& engine, index_t rows_per_batch, index_t depth, index_t columns) {
    const index_t batch = testing::random_int(engine, 1, 3), rows = batch * rows_per_batch;
    const Layer<T> layer(engine, rows, depth, columns);
    const auto expected = layer.expected([&](double y, index_t r, index_t c) {
      return double(layer.residual[r * columns + c]) +
             double(layer.gate[r / rows_per_batch * columns + c]) * y;
    });
    // The residual is the result itself.
    const auto out = layer.residual.matrix(rows, columns);
    linear(host, layer.in(), layer.weight(),
           GatedResidual<T>{out, layer.gate.matrix(batch, columns), rows_per_batch}, out);
    STEPVIDEO_CHECK_CLOSE(layer.residual, expected, bound<T>);
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(swiglu_pairs_the_halves_of_the_weight, T, Elements) {
  on_random_layers<T>([](std::mt19937& engine, index_t rows, index_t depth, index_t columns) {
    const Layer<T> layer(engine, rows, depth, columns, 2);
    const auto products = oracle::linear(layer.in(), layer.weight());
    std::vector<double> expected;
    for (index_t r = 0; r < rows; ++r)
      for (index_t c = 0; c < columns; ++c)
        expected.push_back(oracle::silu(products[r * 2 * columns + c]) * products[(r * 2 + 1) * columns + c]);
    const auto out = testing::poisoned<T>(rows * columns);
    linear(host, layer.in(), layer.weight(), SwiGlu{}, out.matrix(rows, columns));
    STEPVIDEO_CHECK_CLOSE(out, expected, bound<T>);
  });
}

BOOST_AUTO_TEST_CASE(a_float_result_of_bf16_inputs_is_not_rounded) {
  on_random_layers<bf16>([](std::mt19937& engine, index_t rows, index_t depth, index_t columns) {
    const Layer<bf16> layer(engine, rows, depth, columns);
    const auto out = testing::poisoned<float>(rows * columns);
    linear(host, layer.in(), layer.weight(), Bias<bf16>{layer.bias.vector()}, out.matrix(rows, columns));
    const auto expected =
        layer.expected([&](double y, index_t, index_t c) { return y + double(layer.bias[c]); });
    STEPVIDEO_CHECK_CLOSE(out, expected, bound<float>);
  });
}

BOOST_AUTO_TEST_CASE(activations_are_exact_far_from_zero) {
  for (float x : {-1e30f, -100.0f, -20.0f, -5.0f, -1e-3f, 0.0f, 1e-3f, 5.0f, 20.0f, 100.0f, 1e12f}) {
    const auto near = [&](float actual, double expected) {
      return std::abs(actual - expected) <= 1e-6 * std::abs(expected) + 1e-7;
    };
    BOOST_CHECK_MESSAGE(near(Silu{}(x), oracle::silu(x)), "silu at " << x << " is " << Silu{}(x));
    BOOST_CHECK_MESSAGE(near(GeluTanh{}(x), oracle::gelu_tanh(x)),
                        "gelu at " << x << " is " << GeluTanh{}(x));
    BOOST_CHECK_MESSAGE(near(GeluErf{}(x), oracle::gelu_erf(x)), "gelu at " << x << " is " << GeluErf{}(x));
  }
  BOOST_CHECK(std::isnan(Silu{}(NAN)) && std::isnan(GeluTanh{}(NAN)) && std::isnan(GeluErf{}(NAN)));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_number_of_threads_gives_the_same_bits, T, Elements) {
  std::mt19937 engine(5);
  const Layer<T> layer(engine, 301, 333, 517);
  const auto run = [&](int threads) {
    auto out = testing::poisoned<T>(301 * 517);
    omp_set_num_threads(threads);
    linear(host, layer.in(), layer.weight(), Activate<GeluTanh>{}, out.matrix(301, 517));
    return out;
  };
  const auto one = run(1);
  for (int threads : {2, 3, 5}) {
    const auto many = run(threads);
    BOOST_CHECK(std::equal(one.begin(), one.end(), many.begin(), many.end()));
  }
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  const Buffer<float> values(64);
  const auto says = [](const char* text) {
    return [text](const RequestError& error) {
      return std::string(error.what()).find(text) != std::string::npos;
    };
  };
  const auto in = values.matrix(2, 4), weight = values.matrix(3, 4), out = values.matrix(2, 3);
  BOOST_CHECK_EXCEPTION(linear(host, in, values.matrix(3, 5), Store{}, out), RequestError,
                        says("in is (2, 4), weight (3, 5) and out (2, 3)"));
  BOOST_CHECK_EXCEPTION(linear(host, in, weight, SwiGlu{}, out), RequestError, says("columns * 2"));
  BOOST_CHECK_EXCEPTION(linear(host, in, weight, Bias<float>{{values.data(), 2}}, out), RequestError,
                        says("the bias has 2 elements"));
  BOOST_CHECK_EXCEPTION(linear(host, in, weight, Residual<float>{values.matrix(3, 3)}, out), RequestError,
                        says("the residual is (3, 3)"));
  BOOST_CHECK_EXCEPTION(linear(host, in, weight, GatedResidual<float>{out, values.matrix(2, 3), 2}, out),
                        RequestError, says("the gate is (2, 3) for 2 rows each"));
}
