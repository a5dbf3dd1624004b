// Softmax of scores in memory, and the transposing pass of the values beside it.
#define BOOST_TEST_MODULE causal_softmax_device
#include <cmath>
#include <tuple>

#include <stepvideo/kernels/attention/causal_softmax.cuh>
#include <stepvideo/kernels/elementwise/transpose.cuh>

#include "support/compare.hpp"
#include "support/device.cuh"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

using namespace stepvideo;
using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

using Elements = std::tuple<float, bf16>;

namespace {

/// `rows` queries from `first_query` on, with NaN behind each one's own key and in the padding of a row.
template <class T>
void check_softmax(index_t rows, index_t first_query, index_t padding, float magnitude) {
  BOOST_TEST_CONTEXT(rows << " queries from " << first_query << " on") {
    std::mt19937 engine(82);
    constexpr float scale = 0.3f;
    const index_t columns = (first_query + rows + 3) / 4 * 4, stride = columns + padding;
    auto scores = testing::random_normal<float>(rows * stride, engine, magnitude);
    for (index_t row = 0; row < rows; ++row)
      std::fill(scores.begin() + row * stride + first_query + row + 1, scores.begin() + (row + 1) * stride,
                NAN);
    const auto placed = testing::place(device, scores);
    const auto weights = testing::place(device, testing::poisoned<T>(rows * stride));
    causal_softmax(device, MatrixView<const float>{placed.data(), rows, columns, stride}, first_query, scale,
                   MatrixView<T>{weights.data(), rows, columns, stride});
    const auto actual = testing::fetch(device, weights);
    for (index_t row = 0; row < rows; ++row) {
      const index_t seen = first_query + row + 1;
      const float* of = scores.data() + row * stride;
      double most = -INFINITY, sum = 0;
      for (index_t key = 0; key < seen; ++key) most = std::max(most, double(scale) * of[key]);
      for (index_t key = 0; key < seen; ++key) sum += std::exp(double(scale) * of[key] - most);
      Buffer<T> values(columns);
      std::copy_n(actual.data() + row * stride, columns, values.begin());
      std::vector<double> expected(static_cast<std::size_t>(columns)), summed(expected.size());
      for (index_t key = 0; key < seen; ++key) {
        expected[key] = std::exp(double(scale) * of[key] - most) / sum;
        // A score's roundings are a share of its weight.
        summed[key] = expected[key] * (1 + std::abs(double(scale) * of[key]) + std::abs(most));
      }
      // Below the smallest normal number the GPU's exponential gives 0.
      for (index_t key = 0; key < seen; ++key)
        if (expected[key] < 0x1p-126 && float(values[key]) >= 0 && float(values[key]) <= 0x1p-126f)
          expected[key] = float(values[key]);
      testing::check_each<T>(values, expected, summed, {.float_roundings = 16 + std::sqrt(double(seen))});
      for (index_t key = columns; key < stride; ++key)
        BOOST_CHECK(std::isnan(float(actual[row * stride + key])));
    }
  }
}

template <class T>
void check_transpose(index_t rows, index_t columns, index_t stride, index_t padded) {
  std::mt19937 engine(83);
  const auto in = testing::random_normal<T>(rows * stride, engine);
  const auto placed = testing::place(device, in),
             out = testing::place(device, testing::poisoned<T>(columns * padded));
  transpose(device, MatrixView<const T>{placed.data(), rows, columns, stride},
            MatrixView<T>::dense(out.data(), columns, padded));
  const auto actual = testing::fetch(device, out);
  bool is_equal = true;
  for (index_t c = 0; c < columns; ++c)
    for (index_t r = 0; r < padded; ++r)
      is_equal = is_equal && float(actual[c * padded + r]) == (r < rows ? float(in[r * stride + c]) : 0.0f);
  BOOST_CHECK_MESSAGE(is_equal, rows << " x " << columns << " is not transposed");
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(each_query_weighs_itself_and_what_came_before, T, Elements) {
  for (const index_t rows : {1, 3, 4, 33})
    for (const index_t first : {0, 1, 4, 250, 4093, 9000}) check_softmax<T>(rows, first, rows % 2 * 4, 1.5f);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(scores_of_a_hundred_do_not_overflow, T, Elements) {
  check_softmax<T>(5, 300, 0, 100);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(matrices_are_transposed_and_padded_with_zeros, T, Elements) {
  check_transpose<T>(1, 1, 1, 1);
  check_transpose<T>(33, 70, 210, 40);
  check_transpose<T>(200, 31, 31, 200);
}

BOOST_AUTO_TEST_CASE(views_that_disagree_are_refused) {
  const Buffer<float, Device> memory(device, 4096);
  const auto view = [&](index_t rows, index_t columns, index_t stride) {
    return MatrixView<float>{memory.data(), rows, columns, stride};
  };
  const auto refused = [&](MatrixView<const float> scores, index_t first, MatrixView<float> weights,
                           const char* phrase) {
    testing::check_refused([&] { causal_softmax(device, scores, first, 1.0f, weights); }, phrase);
  };
  refused(view(4, 8, 8), 0, view(4, 12, 12), "must be equal");
  refused(view(4, 8, 8), 5, view(4, 8, 8), "reach the last query");
  refused(view(2, 6, 8), 0, view(2, 6, 8), "a multiple of 4");
  refused(view(2, 8, 9), 0, view(2, 8, 9), "whole packs of 4");
  testing::check_refused([&] { transpose(device, MatrixView<const float>(view(4, 8, 8)), view(8, 3, 3)); },
                         "transpose: in is (4, 8) and out (8, 3)");
}
