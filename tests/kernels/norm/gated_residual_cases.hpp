// The cases of gated_residual, for any place.
#pragma once
#include <cmath>
#include <vector>

#include <stepvideo/kernels/norm/gated_residual.hpp>

#include "oracle/sums.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"
#include "support/scaled_rows.hpp"
#include "support/tokens_layout.hpp"

namespace stepvideo::testing {

/// stream + gate * delta in double.
struct GatedSums : oracle::Sums {
  template <class Delta, class Stream>
  GatedSums(TokensView<Delta> delta, MatrixView<const float> gate, TokensView<Stream> stream) {
    for (index_t b = 0; b < stream.batch; ++b)
      for (index_t t = 0; t < stream.tokens; ++t)
        for (index_t i = 0; i < stream.width; ++i) {
          const double x = stream.row(b, t)[i],
                       change = (gate.data == nullptr ? 1.0 : double{gate.row(b)[i]}) * delta.row(b, t)[i];
          add(x + change, std::abs(x) + std::abs(change));
        }
  }
};

template <class Delta, class Stream, class T, class Place>
void gated_residual_agrees_with_its_formula(const Place& on) {
  std::mt19937 engine(53);
  for (int trial = 0; trial < 60; ++trial) {
    const auto layout = TokensLayout::random(engine), delta_layout = layout.moved(engine),
               out_layout = layout.moved(engine);
    const auto stream = random_normal<Stream>(layout.size(), engine, 3.0f);
    const auto delta = random_normal<Delta>(delta_layout.size(), engine);
    const auto gate = random_normal<float>(layout.batch * layout.width, engine);
    const auto nothing = poisoned<T>(out_layout.size());
    const bool is_gated = trial % 3 != 0, has_out = trial % 4 != 0;
    const GatedSums expected(delta_layout.view<const Delta>(delta.data()),
                             is_gated ? MatrixView<const float>(gate.matrix(layout.batch, layout.width))
                                      : MatrixView<const float>{},
                             layout.view<const Stream>(stream.data()));

    const auto placed_delta = place(on, delta);
    const auto placed_gate = place(on, gate);
    const auto placed_stream = place(on, stream);
    const auto placed_out = place(on, nothing);
    const auto gates = is_gated ? MatrixView<const float>(placed_gate.matrix(layout.batch, layout.width))
                                : MatrixView<const float>{};
    run(on, [&](auto execution) {
      gated_residual(execution, delta_layout.view(placed_delta.data()), gates,
                     layout.view(placed_stream.data()),
                     has_out ? out_layout.view(placed_out.data()) : TokensView<T>{});
    });
    const auto updated = fetch(on, placed_stream);
    const auto out = fetch(on, placed_out);
    check_each<Stream>(layout.dense(updated.data()), expected.values, expected.summed,
                       {.float_roundings = 1});
    BOOST_CHECK(layout.leaves_the_rest(stream, updated));
    BOOST_CHECK(out_layout.leaves_the_rest(nothing, out));
    if (!has_out) {
      BOOST_CHECK(same_bits(out, nothing));
      continue;
    }
    check_each<T>(out_layout.dense(out.data()), layout.dense(updated.data()), 0.0);  // as it is stored
  }
}

/// With fp8 rows out: the stream is what it would be, and the rows are made of it as it is stored.
template <class Delta, class Stream, class Place>
void gated_residual_quantises_what_it_stored(const Place& on) {
  std::mt19937 engine(55);
  for (int trial = 0; trial < 60; ++trial) {
    const auto layout = TokensLayout::random(engine), delta_layout = layout.moved(engine);
    auto out_layout = layout.moved(engine);
    if (trial % 2 == 0) out_layout.offset = 0;  // an fp8 row of the packs' grid starts at 16 bytes
    const auto stream = random_normal<Stream>(layout.size(), engine, std::exp2(float(trial % 16 - 8)));
    const auto delta = random_normal<Delta>(delta_layout.size(), engine);
    const auto gate = random_normal<float>(layout.batch * layout.width, engine);
    const auto nothing = poisoned<fp8_e4m3>(out_layout.size());
    const index_t rows = layout.batch * layout.tokens;
    const bool is_gated = trial % 3 != 0;
    const auto gates_in = [&](const auto& buffer) {
      return is_gated ? MatrixView<const float>(buffer.matrix(layout.batch, layout.width))
                      : MatrixView<const float>{};
    };
    const GatedSums expected(delta_layout.view<const Delta>(delta.data()), gates_in(gate),
                             layout.view<const Stream>(stream.data()));

    const auto placed_delta = place(on, delta);
    const auto placed_gate = place(on, gate);
    const auto placed_stream = place(on, stream);
    const auto placed_values = place(on, nothing);
    const auto placed_scales = place(on, poisoned<float>(rows));
    run(on, [&](auto execution) {
      gated_residual(execution, delta_layout.view(placed_delta.data()), gates_in(placed_gate),
                     layout.view(placed_stream.data()),
                     ScaledTokensView{out_layout.view(placed_values.data()), placed_scales.vector()});
    });
    const auto updated = fetch(on, placed_stream);
    const auto values = fetch(on, placed_values);
    check_each<Stream>(layout.dense(updated.data()), expected.values, expected.summed,
                       {.float_roundings = 1});
    BOOST_CHECK(layout.leaves_the_rest(stream, updated));
    BOOST_CHECK(out_layout.leaves_the_rest(nothing, values));
    oracle::Sums stored;
    for (const double value : layout.dense(updated.data())) stored.add(value, std::abs(value));
    check_scaled_rows(out_layout.dense(values.data()), fetch(on, placed_scales), stored,
                      {.float_roundings = 2});
  }
}

/// More batch elements than a grid has blocks in y, each with a gate of its own: fp8 rows out.
template <class Place>
void gated_residual_quantises_many_batch_elements(const Place& on) {
  std::mt19937 engine(56);
  const index_t batch = 65'540, tokens = 2;
  for (const index_t width : {16, 3}) {
    const auto stream = random_normal<float>(batch * tokens * width, engine);
    const auto delta = random_normal<bf16>(stream.size(), engine);
    const auto gate = random_normal<float>(batch * width, engine);
    const auto view = [&](auto* data) {
      return TokensView<std::remove_pointer_t<decltype(data)>>::dense(data, batch, tokens, width);
    };
    const GatedSums expected(view(delta.data()), gate.matrix(batch, width), view(stream.data()));
    const auto placed_stream = place(on, stream);
    const auto placed_delta = place(on, delta);
    const auto placed_gate = place(on, gate);
    const auto values = place(on, poisoned<fp8_e4m3>(stream.size()));
    const auto scales = place(on, poisoned<float>(batch * tokens));
    run(on, [&](auto execution) {
      gated_residual(execution, view(placed_delta.data()), placed_gate.matrix(batch, width),
                     view(placed_stream.data()), ScaledTokensView{view(values.data()), scales.vector()});
    });
    check_each<float>(fetch(on, placed_stream), expected, {.float_roundings = 1});
    std::vector<double> kept;
    for (const fp8_e4m3 value : fetch(on, values)) kept.push_back(double(float(value)));
    check_scaled_rows(kept, fetch(on, scales), expected, {.float_roundings = 4});
  }
}

/// A float stream may be its own result.
template <class Place>
void gated_residual_in_place(const Place& on) {
  std::mt19937 engine(54);
  const index_t batch = 2, tokens = 5, width = 260;
  const auto stream = random_normal<float>(batch * tokens * width, engine);
  const auto delta = random_normal<bf16>(stream.size(), engine);
  const auto gate = random_normal<float>(batch * width, engine);
  const auto view = [&](auto* data) {
    return TokensView<std::remove_pointer_t<decltype(data)>>::dense(data, batch, tokens, width);
  };
  const GatedSums expected(view(delta.data()), gate.matrix(batch, width), view(stream.data()));
  const auto placed_stream = place(on, stream);
  const auto placed_delta = place(on, delta);
  const auto placed_gate = place(on, gate);
  run(on, [&](auto execution) {
    gated_residual(execution, view(placed_delta.data()), placed_gate.matrix(batch, width),
                   view(placed_stream.data()), view(placed_stream.data()));
  });
  check_each<float>(fetch(on, placed_stream), expected, {.float_roundings = 1});
}

/// Nothing is read or written: the views may have no data.
template <Execution E>
void nothing_is_added_to_an_empty_stream(E execution) {
  const auto empty = [](index_t batch, index_t tokens, index_t width) {
    return TokensView<float>::dense(nullptr, batch, tokens, width);
  };
  for (const auto& view : {empty(0, 3, 8), empty(2, 0, 8), empty(2, 3, 0)})
    gated_residual(execution, view, MatrixView<const float>{}, view, view);
  for (const auto& view : {empty(0, 3, 8), empty(2, 0, 8)})
    gated_residual(
        execution, view, MatrixView<const float>{}, view,
        ScaledTokensView{TokensView<fp8_e4m3>::dense(nullptr, view.batch, view.tokens, view.width), {}});
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void gated_residual_refuses_shapes_by_name(E execution) {
  const Buffer<float> values(64);
  const auto view = TokensView<float>::dense(values.data(), 2, 3, 8);
  const auto smaller = TokensView<float>::dense(values.data(), 2, 2, 8);
  const MatrixView<const float> gate = values.matrix(2, 8);
  check_refused([&] { gated_residual(execution, smaller, gate, view, view); },
                "gated_residual: delta is (2, 2, 8)");
  check_refused([&] { gated_residual(execution, view, values.matrix(3, 8), view, view); },
                "gated_residual: the gate is (3, 8); it must be (2, 8)");
  check_refused([&] { gated_residual(execution, view, gate, view, smaller); },
                "gated_residual: the stream is (2, 3, 8) and out (2, 2, 8)");
  const auto missing = TokensView<float>::dense(nullptr, 2, 3, 8);
  check_refused([&] { gated_residual(execution, missing, gate, view, view); },
                "gated_residual: delta has no data for its 48 elements");
  check_refused([&] { gated_residual(execution, view, gate, missing, view); },
                "gated_residual: the stream has no data");

  const Buffer<fp8_e4m3> codes(64);
  const auto scaled = [&](fp8_e4m3* data, index_t tokens, index_t scales) {
    return ScaledTokensView{TokensView<fp8_e4m3>::dense(data, 2, tokens, 8), {values.data(), scales}};
  };
  check_refused([&] { gated_residual(execution, view, gate, view, scaled(codes.data(), 2, 6)); },
                "gated_residual: the stream is (2, 3, 8) and out (2, 2, 8)");
  check_refused([&] { gated_residual(execution, view, gate, view, scaled(codes.data(), 3, 5)); },
                "gated_residual: there are 5 scales for 6 rows");
  check_refused([&] { gated_residual(execution, view, gate, view, scaled(nullptr, 3, 6)); },
                "gated_residual: out has no data");
}

}  // namespace stepvideo::testing
