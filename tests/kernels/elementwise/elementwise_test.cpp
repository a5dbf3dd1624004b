#define BOOST_TEST_MODULE elementwise
#include <cmath>
#include <tuple>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>

#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double bound = std::same_as<T, float> ? 1e-6 : 4e-3;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(latents_become_tokens_and_come_back, T, Elements) {
  std::mt19937 engine(3);
  const LatentShape shape{3, 4, 5};
  const index_t batch = 2, channels = 7;
  auto latents = testing::random_normal<float>(batch * channels * shape.tokens(), engine);
  for (float& value : latents) value = float(T(value));
  const auto tokens_values = testing::poisoned<T>(latents.size());
  const auto tokens = TokensView<T>::dense(tokens_values.data(), batch, shape.tokens(), channels);
  latents_to_tokens(host, LatentsView<const float>{latents.data(), batch, channels, shape}, tokens);
  for (index_t b = 0; b < batch; ++b)
    for (index_t f = 0; f < 3; ++f)
      for (index_t c = 0; c < channels; ++c)
        for (index_t y = 0; y < 4; ++y)
          for (index_t x = 0; x < 5; ++x)
            BOOST_REQUIRE_EQUAL(float(tokens.row(b, (f * 4 + y) * 5 + x)[c]),
                                latents[(((b * 3 + f) * channels + c) * 4 + y) * 5 + x]);

  const auto back = testing::poisoned<float>(latents.size());
  tokens_to_latents(host, TokensView<const T>(tokens),
                    LatentsView<float>{back.data(), batch, channels, shape});
  BOOST_CHECK(std::equal(back.begin(), back.end(), latents.begin(), latents.end()));
  BOOST_CHECK_THROW(
      latents_to_tokens(host, LatentsView<const float>{latents.data(), 1, channels, shape}, tokens),
      RequestError);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(timestep_sinusoids_put_cosines_first, T, Elements) {
  const float times[] = {0.0f, 0.25f, 0.999f};
  for (const index_t channels : {2, 10, 256}) {
    std::vector<double> expected;
    for (const float time : times)
      for (index_t i = 0; i < channels; ++i) {
        const index_t half = channels / 2;
        const double angle = 1000.0 * time * std::exp(-std::log(10000.0) * double(i % half) / double(half));
        expected.push_back(i < half ? std::cos(angle) : std::sin(angle));
      }
    const auto out = testing::poisoned<T>(3 * channels);
    timestep_sinusoids(host, {times, 3}, out.matrix(3, channels));
    STEPVIDEO_CHECK_CLOSE(out, expected, bound<T>);
  }
  const Buffer<T> odd(9);
  BOOST_CHECK_THROW(timestep_sinusoids(host, {times, 3}, odd.matrix(3, 3)), RequestError);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_table_is_added_to_rows_of_its_own_or_to_a_shared_row, T, Elements) {
  std::mt19937 engine(4);
  const index_t batch = 3, rows = 6, width = 37;
  const auto table = testing::random_normal<T>(rows * width, engine);
  const auto own = testing::random_normal<T>(batch * rows * width, engine),
             shared = testing::random_normal<T>(batch * width, engine);
  const auto out = testing::poisoned<float>(batch * rows * width);
  std::vector<double> expected_own, expected_shared;
  for (index_t i = 0; i < batch * rows * width; ++i) {
    expected_own.push_back(double(own[i]) + double(table[i % (rows * width)]));
    expected_shared.push_back(double(shared[i / (rows * width) * width + i % width]) +
                              double(table[i % (rows * width)]));
  }
  add_table<T>(host, own.matrix(batch, rows * width), table.matrix(rows, width),
               out.matrix(batch, rows * width));
  STEPVIDEO_CHECK_CLOSE(out, expected_own, 1e-6);
  add_table<T>(host, shared.matrix(batch, width), table.matrix(rows, width), out.matrix(batch, rows * width));
  STEPVIDEO_CHECK_CLOSE(out, expected_shared, 1e-6);
  BOOST_CHECK_THROW(
      add_table<T>(host, shared.matrix(1, width), table.matrix(rows, width), out.matrix(batch, rows * width)),
      RequestError);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(an_embedding_is_the_sum_of_its_rows, T, Elements) {
  std::mt19937 engine(5);
  const index_t batch = 2, tokens = 5, width = 19, vocabulary = 11;
  const auto words = testing::random_normal<T>(vocabulary * width, engine),
             positions = testing::random_normal<T>(8 * width, engine),
             everywhere = testing::random_normal<T>(width, engine);
  Buffer<std::int32_t> ids(batch * tokens);
  for (auto& id : ids) id = testing::random_int(engine, 0, vocabulary - 1);
  const auto out = testing::poisoned<T>(batch * tokens * width);
  const auto view = TokensView<T>::dense(out.data(), batch, tokens, width);
  const auto check = [&](const EmbeddingTables<T>& tables, bool has_all) {
    std::vector<double> expected;
    for (index_t i = 0; i < out.size(); ++i) {
      const index_t channel = i % width, token = i / width % tokens;
      expected.push_back(
          double(words[ids[i / width] * width + channel]) +
          (has_all ? double(positions[token * width + channel]) + double(everywhere[channel]) : 0.0));
    }
    embed(host, ids.matrix(batch, tokens), tables, view);
    STEPVIDEO_CHECK_CLOSE(out, expected, bound<T>);
  };
  check({.words = words.matrix(vocabulary, width)}, false);
  check({words.matrix(vocabulary, width), positions.matrix(8, width), everywhere.vector()}, true);

  BOOST_CHECK_THROW(embed(host, ids.matrix(batch, tokens),
                          {words.matrix(vocabulary, width), positions.matrix(4, width), {}}, view),
                    RequestError);
  ids[7] = vocabulary;
  BOOST_CHECK_EXCEPTION(
      embed(host, ids.matrix(batch, tokens), {.words = words.matrix(vocabulary, width)}, view), RequestError,
      [](const RequestError& error) {
        return std::string(error.what()) == "embed: token id 11 is outside the vocabulary of 11";
      });
}

BOOST_AUTO_TEST_CASE(conversion_rounds_after_its_function) {
  std::mt19937 engine(6);
  const auto in = testing::random_normal<float>(2 * 3 * 33, engine);
  const auto out = testing::poisoned<bf16>(in.size());
  convert(host, TokensView<const float>::dense(in.data(), 2, 3, 33),
          TokensView<bf16>::dense(out.data(), 2, 3, 33), Silu{});
  for (index_t i = 0; i < in.size(); ++i) BOOST_REQUIRE_EQUAL(out[i].bits, bf16(Silu{}(in[i])).bits);
}
