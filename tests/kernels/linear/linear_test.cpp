#define BOOST_TEST_MODULE linear
#include <cmath>
#include <tuple>

#include <omp.h>

#include "kernels/linear/linear_cases.hpp"

using namespace stepvideo;

using Elements = std::tuple<float, bf16>;

BOOST_AUTO_TEST_CASE_TEMPLATE(single_epilogues_agree_with_the_oracle_on_ragged_shapes, T, Elements) {
  testing::single_epilogues_agree_with_the_oracle<T, T>(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(the_residual_may_be_the_result, T, Elements) {
  testing::a_residual_may_be_the_result<T, T>(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(swiglu_pairs_the_halves_of_the_weight, T, Elements) {
  testing::swiglu_pairs_the_halves_of_the_weight<T, T>(host);
}
BOOST_AUTO_TEST_CASE(a_float_result_of_bf16_inputs_is_not_rounded) {
  testing::single_epilogues_agree_with_the_oracle<bf16, float>(host);
  testing::a_float_result_of_bf16_inputs_is_not_rounded(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::linear_refuses_views_by_name(host);
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
  const testing::RandomLayer<T, T, Host> layer(host, engine, 301, 333, 517);
  const auto run = [&](int threads) {
    auto out = testing::poisoned<T>(301 * 517);
    omp_set_num_threads(threads);
    linear(host, layer.in(), layer.weight(), Activate<GeluTanh>{}, out.matrix(301, 517));
    return out;
  };
  const auto one = run(1);
  for (int threads : {2, 3, 5}) {
    const auto many = run(threads);
    BOOST_CHECK(testing::same_bits(one, many));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_share_of_whole_row_granules_has_the_bits_of_the_whole, T, Elements) {
  constexpr index_t rows = 1171, depth = 333, columns = 69, granule = HostLinearPolicy::row_multiple;
  std::mt19937 engine(5);
  const testing::RandomLayer<T, T, Host> layer(host, engine, rows, depth, columns);
  const auto run = [&](index_t first, index_t count) {
    auto out = testing::poisoned<T>(count * columns);
    MatrixView<const T> in = layer.in();
    in.data = in.row(first), in.rows = count;
    linear(host, in, layer.weight(), Activate<GeluTanh>{}, out.matrix(count, columns));
    return out;
  };
  const auto whole = run(0, rows);
  for (const index_t first : {index_t{0}, granule, 7 * granule, 10 * granule, 33 * granule})
    for (const index_t end : {first + granule, first + 3 * granule, first + 12 * granule, rows}) {
      const auto share = run(first, end - first);
      BOOST_CHECK_MESSAGE(std::equal(share.begin(), share.end(), whole.data() + first * columns,
                                     [](T a, T b) { return float(a) == float(b); }),
                          "rows " << first << " to " << end);
    }
}
