// What the elementwise kernels refuse and what leaves them nothing to do, for any execution: views are never
// followed, so host memory serves every one.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>

#include "support/refused.hpp"

namespace stepvideo::testing {

template <Execution E>
void elementwise_kernels_refuse_by_name(E execution) {
  const Buffer<float> values(64);
  const Buffer<std::int32_t> numbers(6);
  std::fill(numbers.begin(), numbers.end(), 0);
  const auto tokens = [&](index_t batch, index_t count, index_t width) {
    return TokensView<float>::dense(values.data(), batch, count, width);
  };
  const auto missing = TokensView<float>::dense(nullptr, 2, 3, 8);
  const auto refuses_convert = [&](TokensView<const float> in, TokensView<float> out, const char* text) {
    check_refused([&] { convert(execution, in, out); }, text);
  };
  refuses_convert(tokens(2, 3, 8), tokens(2, 2, 8), "convert: in is (2, 3, 8) and out (2, 2, 8)");
  refuses_convert(missing, tokens(2, 3, 8), "convert: in has no data for its 48 elements");
  refuses_convert(tokens(2, 3, 8), missing, "convert: out has no data");

  const MatrixView<const std::int32_t> ids = numbers.matrix(2, 3);
  const auto refuses_embed = [&](MatrixView<const std::int32_t> of, const EmbeddingTables<float>& tables,
                                 TokensView<float> out, const char* text) {
    check_refused([&] { embed(execution, of, tables, out); }, text);
  };
  const MatrixView<const float> words = values.matrix(8, 8);
  refuses_embed(ids, {.words = words}, tokens(2, 3, 7), "words have 8 channels and out is (2, 3, 7)");
  refuses_embed(ids, {.words = words, .positions = values.matrix(2, 8)}, tokens(2, 3, 8),
                "there are 2 positions for 3 tokens");
  refuses_embed(ids, {.words = words, .everywhere = {values.data(), 7}}, tokens(2, 3, 8),
                "what every token gets has 7 channels and out 8");
  refuses_embed({nullptr, 2, 3, 3}, {.words = words}, tokens(2, 3, 8), "embed: ids has no data");
  refuses_embed(ids, {.words = {nullptr, 8, 8, 8}}, tokens(2, 3, 8), "embed: words has no data");
  refuses_embed(ids, {.words = words}, missing, "embed: out has no data");

  const LatentShape shape{1, 2, 4};
  const LatentsView<float> latents{values.data(), 1, 3, shape}, no_latents{nullptr, 1, 3, shape};
  const auto refuses_latents = [&](LatentsView<float> of, TokensView<float> as, const char* text) {
    check_refused([&] { latents_to_tokens(execution, LatentsView<const float>(of), as); }, text);
    check_refused([&] { tokens_to_latents(execution, TokensView<const float>(as), of); }, text);
  };
  refuses_latents(latents, tokens(2, 8, 3), "1 x 8 pixels with 3 channels do not fit tokens (2, 8, 3)");
  refuses_latents(no_latents, tokens(1, 8, 3), "latents has no data for its 24 elements");
  refuses_latents(latents, TokensView<float>::dense(nullptr, 1, 8, 3), "tokens has no data");

  const VectorView<const float> times{values.data(), 3};
  check_refused([&] { timestep_sinusoids(execution, times, values.matrix(3, 3)); }, "even columns");
  check_refused([&] { timestep_sinusoids(execution, times, values.matrix(2, 4)); },
                "out is (2, 4) for 3 times");
  check_refused(
      [&] {
        timestep_sinusoids(execution, {nullptr, 3}, values.matrix(3, 4));
      },
      "timestep_sinusoids: times has no data");
  const auto refuses_table = [&](MatrixView<const float> in, MatrixView<const float> table,
                                 MatrixView<float> out, const char* text) {
    check_refused([&] { add_table(execution, in, table, out); }, text);
  };
  refuses_table(values.matrix(1, 4), values.matrix(2, 4), values.matrix(2, 8), "out (2, 8)");
  refuses_table(values.matrix(2, 5), values.matrix(2, 4), values.matrix(2, 8), "in is (2, 5)");
  refuses_table({nullptr, 2, 4, 4}, values.matrix(2, 4), values.matrix(2, 8), "add_table: in has no data");
}

template <Execution E>
void empty_tensors_leave_nothing_to_do(E execution) {
  const auto empty = [](index_t batch, index_t tokens, index_t width) {
    return TokensView<float>::dense(nullptr, batch, tokens, width);
  };
  for (const auto& view : {empty(0, 3, 8), empty(2, 0, 8), empty(2, 3, 0)}) {
    convert(execution, TokensView<const float>(view), view, Silu{});
    if (view.width > 0)
      embed(execution, MatrixView<const std::int32_t>{nullptr, view.batch, view.tokens, 0},
            EmbeddingTables<float>{.words = {nullptr, 0, view.width, view.width}}, view);
  }
  for (const auto& [batch, frames, channels] : {std::array<int, 3>{0, 2, 3}, {1, 0, 3}, {1, 2, 0}}) {
    const LatentsView<float> latents{nullptr, batch, channels, {frames, 2, 2}};
    const auto tokens = empty(batch, frames * 4, channels);
    latents_to_tokens(execution, LatentsView<const float>(latents), tokens);
    tokens_to_latents(execution, TokensView<const float>(tokens), latents);
  }
  timestep_sinusoids(execution, VectorView<const float>{}, MatrixView<float>{nullptr, 0, 4, 4});
  add_table(execution, MatrixView<const float>{nullptr, 0, 8, 8}, MatrixView<const float>{nullptr, 0, 8, 8},
            MatrixView<float>{nullptr, 0, 0, 0});
}

}  // namespace stepvideo::testing
