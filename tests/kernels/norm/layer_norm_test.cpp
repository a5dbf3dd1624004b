#define BOOST_TEST_MODULE layer_norm
#include "oracle/layer_norm.hpp"

#include <tuple>

#include <stepvideo/kernels/norm/layer_norm.hpp>

#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;

// A sum of a thousand floats near 20 loses a few units in the last place when it is not vectorised.
template <class T>
constexpr double bound = std::same_as<T, float> ? 8e-6 : 4e-3;

template <class T, class Test>
void on_random_tokens(Test&& test) {
  std::mt19937 engine(43);
  const int widths[] = {1, 7, 64, 129, 192, 256, 1000};
  for (int trial = 0; trial < 30; ++trial) {
    const index_t batch = testing::random_int(engine, 1, 3), tokens = testing::random_int(engine, 1, 40);
    const index_t width = widths[testing::random_int(engine, 0, 6)],
                  padding = testing::random_int(engine, 0, 9);
    const auto in = testing::random_normal<T>(batch * tokens * (width + padding), engine, 2.0f);
    // A mean far from zero cancels in a careless variance.
    for (T& value : in) value = T(float(value) + 20.0f);
    test(engine,
         TokensView<const T>{in.data(), batch, tokens, width, tokens * (width + padding), width + padding});
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(every_combination_of_terms_agrees_with_the_oracle, T, Elements) {
  on_random_tokens<T>([](std::mt19937& engine, TokensView<const T> in) {
    const auto weight = testing::random_normal<T>(in.width, engine),
               bias = testing::random_normal<T>(in.width, engine);
    const auto scale = testing::random_normal<float>(in.batch * in.width, engine),
               shift = testing::random_normal<float>(in.batch * in.width, engine);
    const auto normalised = oracle::layer_norm<T>(in, 1e-5);
    for (const bool affine : {false, true})
      for (const bool modulated : {false, true}) {
        LayerNormTerms<T> terms;
        if (affine) terms.weight = weight.vector(), terms.bias = bias.vector();
        if (modulated)
          terms.scale = scale.matrix(in.batch, in.width), terms.shift = shift.matrix(in.batch, in.width);
        auto expected = normalised;
        for (index_t i = 0; i < std::ssize(expected); ++i) {
          const index_t channel = i % in.width, row = i / (in.tokens * in.width) * in.width + channel;
          if (affine) expected[i] = expected[i] * double(weight[channel]) + double(bias[channel]);
          if (modulated) expected[i] = expected[i] * (1 + double(scale[row])) + double(shift[row]);
        }
        const auto out = testing::poisoned<T>(in.batch * in.tokens * in.width);
        layer_norm(host, in, terms, 1e-5f, TokensView<T>::dense(out.data(), in.batch, in.tokens, in.width));
        STEPVIDEO_CHECK_CLOSE(out, expected, bound<T>);
      }
  });
}

BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  std::mt19937 engine(2);
  const auto values = testing::random_normal<float>(6 * 64, engine);
  const auto view = TokensView<float>::dense(values.data(), 2, 3, 64);
  const auto expected = oracle::layer_norm<float>(view, 1e-6);
  layer_norm(host, view, {}, 1e-6f, view);
  STEPVIDEO_CHECK_CLOSE(values, expected, 2e-6);
}

BOOST_AUTO_TEST_CASE(terms_that_do_not_fit_are_refused_by_name) {
  const Buffer<float> values(1024);
  const auto view = TokensView<float>::dense(values.data(), 2, 3, 8);
  const auto refuses = [&](const LayerNormTerms<float>& terms, const char* text) {
    BOOST_CHECK_EXCEPTION(
        layer_norm(host, view, terms, 1e-6f, view), RequestError,
        [&](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; });
  };
  const VectorView<const float> width{values.data(), 8}, narrow{values.data(), 7};
  refuses({.weight = width}, "come together");
  refuses({.weight = narrow, .bias = width}, "weight has 7 elements");
  refuses({.scale = values.matrix(3, 8), .shift = values.matrix(2, 8)}, "scale is (3, 8)");
}
