// The cases of latents, time, embeddings and conversions, for any place.
#pragma once
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/elementwise/sum_parts.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>

#include "oracle/linear.hpp"
#include "oracle/sums.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"
#include "support/tokens_layout.hpp"

namespace stepvideo::testing {

/// To tokens of padded rows, every one at its place, and back, to the bit.
template <class T, class Place>
void check_latents(const Place& on, std::mt19937& engine, LatentShape shape, index_t batch, index_t channels,
                   index_t offset, index_t padding) {
  const index_t pixels = index_t{shape.height} * shape.width, stride = channels + padding;
  auto latents = random_normal<float>(batch * channels * shape.tokens(), engine);
  for (float& value : latents) value = float(T(value));

  const auto placed = place(on, latents);
  const auto values = place(on, poisoned<T>(offset + batch * shape.tokens() * stride));
  const TokensView<T> view{values.data() + offset,  batch, shape.tokens(), channels,
                           shape.tokens() * stride, stride};
  run(on, [&](auto execution) {
    latents_to_tokens(execution, LatentsView<const float>{placed.data(), batch, channels, shape}, view);
  });
  const auto tokens = fetch(on, values);
  bool is_equal = true;
  for (index_t i = 0; i < latents.size(); ++i) {
    const index_t pixel = i % pixels, plane = i / pixels, channel = plane % channels;
    const index_t token = plane / channels * pixels + pixel;  // batch and frame run together
    is_equal = is_equal && float(tokens[offset + token * stride + channel]) == latents[i];
  }
  BOOST_CHECK_MESSAGE(is_equal, channels << " channels of " << pixels << " pixels lose their order");

  const auto back = place(on, poisoned<float>(latents.size()));
  run(on, [&](auto execution) {
    tokens_to_latents(execution, TokensView<const T>(view),
                      LatentsView<float>{back.data(), batch, channels, shape});
  });
  BOOST_CHECK(same_bits(fetch(on, back), latents));
}

template <class T, class Place>
void latents_become_tokens_and_come_back(const Place& on) {
  std::mt19937 engine(3);
  for (int trial = 0; trial < 24; ++trial) {
    const index_t widths[] = {1, 7, 16, 64, 65, 130};
    check_latents<T>(on, engine,
                     {random_int(engine, 1, 4), random_int(engine, 1, 12), random_int(engine, 1, 17)},
                     random_int(engine, 1, 2), widths[random_int(engine, 0, 5)], random_int(engine, 0, 3),
                     random_int(engine, 0, 2));
  }
}

/// More frames than a grid has blocks in z, of many batch elements and of few.
template <class Place>
void latents_of_many_frames(const Place& on) {
  std::mt19937 engine(4);
  check_latents<bf16>(on, engine, {1, 1, 2}, 65'540, 4, 0, 0);
  check_latents<bf16>(on, engine, {30'000, 1, 2}, 3, 4, 0, 0);
}

/// Sines and cosines of an angle in double, rounded to float32 and to T.
template <class T, class Place>
void timestep_sinusoids_put_cosines_first(const Place& on) {
  const auto check = [&](const Buffer<float>& times, index_t channels) {
    const auto placed = place(on, times);
    std::vector<double> expected;
    for (const float time : times)
      for (index_t i = 0; i < channels; ++i) {
        const index_t half = channels / 2;
        const double angle =
            1000.0 * double{time} * std::exp(-std::log(10000.0) * double(i % half) / double(half));
        expected.push_back(i < half ? std::cos(angle) : std::sin(angle));
      }
    const auto out = place(on, poisoned<T>(times.size() * channels));
    run(on, [&](auto execution) {
      timestep_sinusoids(execution, VectorView<const float>(placed.vector()),
                         out.matrix(times.size(), channels));
    });
    check_each<T>(fetch(on, out), expected, 1.0, {.float_roundings = 1});
  };
  Buffer<float> times(3), many(65'540);
  times[0] = 0.0f, times[1] = 0.25f, times[2] = 0.999f;
  for (index_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i) / static_cast<float>(many.size());
  for (const index_t channels : {2, 10, 256, 1026}) check(times, channels);
  check(many, 4);
}

template <class T, class Place>
void a_table_is_added_to_rows_of_its_own_or_to_a_shared_row(const Place& on) {
  std::mt19937 engine(4);
  for (const auto& [batch, rows, width] :
       {std::array<index_t, 3>{3, 6, 37}, {3, 6, 600}, {1, 2, 1}, {65'540, 2, 3}}) {
    const index_t size = batch * rows * width;
    const auto table = random_normal<T>(rows * width, engine);
    const auto own = random_normal<T>(size, engine), shared = random_normal<T>(batch * width, engine);
    oracle::Sums expected_own, expected_shared;
    const auto add = [](oracle::Sums& sums, double a, double b) {
      sums.add(a + b, std::abs(a) + std::abs(b));
    };
    for (index_t i = 0; i < size; ++i) {
      add(expected_own, own[i], table[i % (rows * width)]);
      add(expected_shared, shared[i / (rows * width) * width + i % width], table[i % (rows * width)]);
    }
    const auto placed_table = place(on, table), placed_own = place(on, own),
               placed_shared = place(on, shared);
    const auto result = [&](MatrixView<const T> in) {
      const auto out = place(on, poisoned<float>(size));
      run(on, [&](auto execution) {
        add_table(execution, in, MatrixView<const T>(placed_table.matrix(rows, width)),
                  out.matrix(batch, rows * width));
      });
      return fetch(on, out);
    };
    check_each<float>(result(placed_own.matrix(batch, rows * width)), expected_own, {.float_roundings = 0});
    check_each<float>(result(placed_shared.matrix(batch, width)), expected_shared, {.float_roundings = 0});
  }
}

/// Words alone, and words with positions and what every token gets, into padded rows.
template <class T, class Place>
void an_embedding_is_the_sum_of_its_rows(const Place& on) {
  std::mt19937 engine(5);
  for (const auto& [batch, tokens, width] :
       {std::array<index_t, 3>{2, 5, 19}, {3, 7, 64}, {1, 3, 4096}, {65'540, 1, 8}}) {
    const index_t vocabulary = 11, padding = width % 2;
    const auto words = random_normal<T>(vocabulary * width, engine),
               positions = random_normal<T>(8 * width, engine), everywhere = random_normal<T>(width, engine);
    Buffer<std::int32_t> ids(batch * tokens);
    for (auto& id : ids) id = random_int(engine, 0, vocabulary - 1);
    const auto placed_words = place(on, words), placed_positions = place(on, positions),
               placed_everywhere = place(on, everywhere);
    const auto placed_ids = place(on, ids);
    const TokensLayout layout{batch, tokens, width, 0, padding, 0};
    const auto check = [&](const EmbeddingTables<T>& tables, bool has_all) {
      oracle::Sums expected;
      for (index_t i = 0; i < batch * tokens * width; ++i) {
        const index_t channel = i % width, token = i / width % tokens;
        const double word = words[ids[i / width] * width + channel],
                     position = has_all ? double(positions[token * width + channel]) : 0.0,
                     always = has_all ? double(everywhere[channel]) : 0.0;
        expected.add(word + position + always, std::abs(word) + std::abs(position) + std::abs(always));
      }
      const auto nothing = poisoned<T>(layout.size());
      const auto out = place(on, nothing);
      run(on, [&](auto execution) {
        embed(execution, MatrixView<const std::int32_t>(placed_ids.matrix(batch, tokens)), tables,
              layout.view(out.data()));
      });
      const auto result = fetch(on, out);
      check_each<T>(layout.dense(result.data()), expected, {.float_roundings = 2});
      BOOST_CHECK(layout.leaves_the_rest(nothing, result));
    };
    check({.words = placed_words.matrix(vocabulary, width)}, false);
    check({placed_words.matrix(vocabulary, width), placed_positions.matrix(8, width),
           placed_everywhere.vector()},
          true);
  }
}

/// Every pair of types, of any strides, and an activation on the way.
template <class From, class To, class Place>
void conversion_rounds_after_its_function(const Place& on, int trials = 20) {
  std::mt19937 engine(6);
  for (int trial = 0; trial < trials; ++trial) {
    const auto in_layout = TokensLayout::random(engine), out_layout = in_layout.moved(engine);
    const auto in = random_normal<From>(in_layout.size(), engine, 3.0f);
    const auto placed = place(on, in);
    const auto nothing = poisoned<To>(out_layout.size());
    const auto check = [&](auto function, auto&& formula, double roundings) {
      oracle::Sums expected;
      for (const double value : in_layout.dense(in.data()))
        expected.add(formula(value), std::abs(formula(value)));
      const auto out = place(on, nothing);
      run(on, [&](auto execution) {
        convert(execution, TokensView<const From>(in_layout.view(placed.data())), out_layout.view(out.data()),
                function);
      });
      const auto result = fetch(on, out);
      check_each<To>(out_layout.dense(result.data()), expected, {.float_roundings = roundings});
      BOOST_CHECK(out_layout.leaves_the_rest(nothing, result));
    };
    check(
        Identity{}, [](double value) { return value; }, 0);
    check(Silu{}, oracle::silu, 12);
  }
}

/// In place, and of more batch elements than a grid has blocks in y.
template <class Place>
void conversion_in_place_of_many_batch_elements(const Place& on) {
  std::mt19937 engine(7);
  const index_t batch = 65'540, tokens = 2, width = 5;
  const auto in = random_normal<float>(batch * tokens * width, engine);
  const auto placed = place(on, in);
  const auto view = TokensView<float>::dense(placed.data(), batch, tokens, width);
  run(on, [&](auto execution) { convert(execution, TokensView<const float>(view), view, Silu{}); });
  const oracle::Sums expected{std::vector<double>(in.begin(), in.end()),
                              std::vector<double>(std::size_t(in.size()))};
  check_each<float>(fetch(on, placed), expected.mapped(oracle::silu, 0), {.float_roundings = 6});
}

/// Heads from any strides to any, every pair of types; of one type, with the bits that they had.
template <class From, class To, class Place>
void heads_are_converted_from_any_strides_to_any(const Place& on) {
  std::mt19937 engine(8);
  for (int trial = 0; trial < 20; ++trial) {
    const index_t batch = random_int(engine, 1, 3), tokens = random_int(engine, 1, 40),
                  heads = random_int(engine, 1, 5), dim = trial % 2 == 0 ? 64 : random_int(engine, 1, 70);
    const index_t count = batch * tokens * heads * dim;
    const bool is_packed = trial % 3 == 0;  // the keys of [q | k | v]
    const index_t parts = is_packed ? 3 : 1;
    const auto in = random_normal<From>(parts * count, engine, 3.0f);
    const auto nothing = poisoned<To>(count);
    const auto placed = place(on, in);
    const auto out = place(on, nothing);
    HeadsView<const From> from{
        placed.data(),       batch,      tokens, heads, dim, parts * tokens * heads * dim,
        parts * heads * dim, parts * dim};
    if (is_packed) from.data += dim;
    // Head-major.
    const HeadsView<To> to{out.data(), batch, tokens, heads, dim, heads * tokens * dim, dim, tokens * dim};
    run(on, [&](auto execution) { convert(execution, from, to); });
    const auto result = fetch(on, out);
    index_t wrong = 0;
    for (index_t b = 0; b < batch; ++b)
      for (index_t t = 0; t < tokens; ++t)
        for (index_t h = 0; h < heads; ++h)
          for (index_t i = 0; i < dim; ++i) {
            const From value = in[b * from.batch_stride + t * from.token_stride + h * from.head_stride + i +
                                  (is_packed ? dim : 0)];
            const To got = result[b * to.batch_stride + t * to.token_stride + h * to.head_stride + i];
            const To wanted = To(float(value));
            wrong += std::memcmp(&got, &wanted, sizeof(To)) != 0;
          }
    BOOST_CHECK_EQUAL(wrong, 0);
  }
}

/// Parts of any length and distance, added in their order: in float32, rounded once.
template <class T, class Place>
void parts_are_added_in_their_order_and_rounded_once(const Place& on) {
  std::mt19937 engine(9);
  for (int trial = 0; trial < 20; ++trial) {
    const index_t parts = random_int(engine, 1, 9), size = random_int(engine, 1, 3000),
                  stride = trial % 2 == 0 ? (size + 63) / 64 * 64 : size + random_int(engine, 0, 9);
    const auto in = random_normal<T>(parts * stride, engine, 3.0f);
    const auto placed = place(on, in);
    const auto sum = place(on, poisoned<T>(size));
    run(on, [&](auto execution) {
      sum_parts<T>(execution, MatrixView<const T>{placed.data(), parts, size, stride}, sum.vector());
    });
    const auto result = fetch(on, sum);
    index_t wrong = 0;
    for (index_t i = 0; i < size; ++i) {
      float expected = float(in[i]);
      for (index_t part = 1; part < parts; ++part) expected += float(in[part * stride + i]);
      const T rounded = T(expected);
      wrong += std::memcmp(&result[i], &rounded, sizeof(T)) != 0;
    }
    BOOST_CHECK_EQUAL(wrong, 0);
  }
}

}  // namespace stepvideo::testing
