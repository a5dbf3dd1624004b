#define BOOST_TEST_MODULE elementwise
#include <cmath>
#include <tuple>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>

#include "kernels/elementwise/elementwise_cases.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;
using testing::bound;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(latents_become_tokens_and_come_back, T, Elements) {
  testing::latents_become_tokens_and_come_back<T>(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(timestep_sinusoids_put_cosines_first, T, Elements) {
  testing::timestep_sinusoids_put_cosines_first<T>(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(a_table_is_added_to_rows_of_its_own_or_to_a_shared_row, T, Elements) {
  testing::a_table_is_added_to_rows_of_its_own_or_to_a_shared_row<T>(host);
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
