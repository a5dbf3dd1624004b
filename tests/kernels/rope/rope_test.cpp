#define BOOST_TEST_MODULE rope
#include "oracle/rope.hpp"

#include <tuple>

#include <stepvideo/kernels/rope/rope.hpp>

#include "support/compare.hpp"
#include "support/golden.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double bound = std::same_as<T, float> ? 1e-6 : 4e-3;

template <class T>
constexpr double golden_bound = std::same_as<T, float> ? testing::fp32_bound : testing::bf16_bound;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(rotation_equals_that_of_the_release, T, Elements) {
  const auto in = testing::golden_tensor("rope3d_3x4x5.safetensors", "x");
  const auto expected = testing::golden_tensor("rope3d_3x4x5.safetensors", "y");
  Buffer<T> values(in.size());
  for (index_t i = 0; i < in.size(); ++i) values[i] = T(in[i]);
  const auto table = make_rope_table<T>(host, {3, 4, 5}, RopeSplit{64, 32, 32});
  rope3d(host, HeadsView<T>::dense(values.data(), 2, 60, 3, 128), table.view());
  STEPVIDEO_CHECK_CLOSE(values, expected, golden_bound<T>);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(random_shapes_agree_with_the_oracle, T, Elements) {
  std::mt19937 engine(41);
  for (int trial = 0; trial < 40; ++trial) {
    const auto some = [&](int low, int high) { return testing::random_int(engine, low, high); };
    const LatentShape shape{some(1, 5), some(1, 9), some(1, 9)};
    const int split[] = {2 * some(1, 33), 2 * some(1, 17), 2 * some(1, 17)};
    const int dim = split[0] + split[1] + split[2], batch = some(1, 2), heads = some(1, 3),
              parts = some(1, 3);
    // A rank's share of the tokens, as one part of a packed projection.
    const int tokens = some(1, static_cast<int>(shape.tokens())),
              first = static_cast<int>(shape.tokens()) - tokens;
    const index_t width = heads * parts * dim;
    const auto values = testing::random_normal<T>(batch * tokens * width, engine);
    const HeadsView<T> view{
        values.data() + (parts - 1) * dim, batch, tokens, heads, dim, tokens * width, width, parts * dim};
    auto expected = std::vector<double>(values.begin(), values.end());
    const auto turned = oracle::rope3d<T>(view, shape.height, shape.width, split, first);
    auto next = turned.begin();
    for (index_t b = 0; b < batch; ++b)
      for (index_t t = 0; t < tokens; ++t)
        for (index_t h = 0; h < heads; ++h)
          for (index_t i = 0; i < dim; ++i) expected[view.row(b, t, h) + i - values.data()] = *next++;

    const auto table = make_rope_table<T>(host, shape, {split[0], split[1], split[2]});
    auto part = table.view();
    part.first_token = first;
    rope3d(host, view, part);
    STEPVIDEO_CHECK_CLOSE(values, expected, bound<T>);  // channels of other parts are as they were
  }
}

BOOST_AUTO_TEST_CASE(rounded_angles_are_those_of_the_element) {
  // Position 300, first pair: the angle is 300, which bf16 has; position 301 is rounded to 300 or 302.
  const LatentShape shape{302, 1, 1};
  const RopeSplit split{4, 2, 2};
  const auto exact = make_rope_table<bf16>(host, shape, split);
  const auto rounded = make_rope_table<bf16>(host, shape, split, RopeAngles::rounded_to_element);
  const auto in_float = make_rope_table<float>(host, shape, split, RopeAngles::rounded_to_element);
  const auto cosine = [](const auto& table, index_t position) {
    return table.view().frame.cosines[position * 2];
  };
  BOOST_CHECK_EQUAL(cosine(exact, 300), std::cos(300.0f));
  BOOST_CHECK_EQUAL(cosine(rounded, 300), std::cos(300.0f));
  BOOST_CHECK_CLOSE(cosine(exact, 301), std::cos(301.0), 1e-4);
  BOOST_CHECK_CLOSE(cosine(in_float, 301), std::cos(301.0), 1e-4);
  BOOST_CHECK_CLOSE(cosine(rounded, 301), std::cos(300.0), 1e-4);  // ties go to even
}

BOOST_AUTO_TEST_CASE(tables_for_another_tensor_are_refused) {
  const Buffer<float> values(4096);
  const auto table = make_rope_table<float>(host, {2, 2, 2}, RopeSplit::of_head(64));
  const auto refuses = [&](index_t tokens, index_t dim, const char* text) {
    BOOST_CHECK_EXCEPTION(
        rope3d(host, HeadsView<float>::dense(values.data(), 1, tokens, 1, dim), table.view()), RequestError,
        [&](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; });
  };
  refuses(8, 32, "32 channels and the table turns 64");
  refuses(9, 64, "tokens 0 to 9 are asked of a table for 8");
  BOOST_CHECK_THROW(make_rope_table<float>(host, {2, 2, 2}, RopeSplit{3, 2, 2}), RequestError);
}
