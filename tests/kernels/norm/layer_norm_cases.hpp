// The cases of layer_norm and gated_residual_layer_norm, for any execution.
#pragma once
#include <stepvideo/kernels/norm/gated_layer_norm.hpp>

#include "oracle/layer_norm.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"
#include "support/tokens_layout.hpp"

namespace stepvideo::testing {

/// Terms of a random kind, in the memory of an execution, and what they do in double.
template <class T, Execution E>
struct RandomTerms {
  bool is_affine, is_modulated;
  index_t batch, width;
  Buffer<T> host_weight, host_bias;
  Buffer<float> host_scale, host_shift;
  Buffer<T, E> weight, bias;
  Buffer<float, E> scale, shift;

  RandomTerms(E execution, const TokensLayout& layout, int kind, std::mt19937& engine)
      : is_affine(kind % 2 == 1),
        is_modulated(kind / 2 % 2 == 1),
        batch(layout.batch),
        width(layout.width),
        host_weight(random_normal<T>(width, engine)),
        host_bias(random_normal<T>(width, engine)),
        host_scale(random_normal<float>(batch * width, engine)),
        host_shift(random_normal<float>(batch * width, engine)),
        weight(place(execution, host_weight)),
        bias(place(execution, host_bias)),
        scale(place(execution, host_scale)),
        shift(place(execution, host_shift)) {}

  LayerNormTerms<T> views() const {
    LayerNormTerms<T> terms;
    if (is_affine) terms.weight = weight.vector(), terms.bias = bias.vector();
    if (is_modulated) terms.scale = scale.matrix(batch, width), terms.shift = shift.matrix(batch, width);
    return terms;
  }
  std::vector<double> applied(std::vector<double> values, index_t tokens) const {
    for (index_t i = 0; i < std::ssize(values); ++i) {
      const index_t channel = i % width, row = i / (tokens * width) * width + channel;
      double& value = values[static_cast<std::size_t>(i)];
      if (is_affine) value = value * double(host_weight[channel]) + double(host_bias[channel]);
      if (is_modulated) value = value * (1 + double(host_scale[row])) + double(host_shift[row]);
    }
    return values;
  }
};

/// A mean far from zero cancels in a careless variance.
template <class T>
Buffer<T> random_stream(index_t size, std::mt19937& engine) {
  auto values = random_normal<T>(size, engine, 2.0f);
  for (T& value : values) value = T(float(value) + 20.0f);
  return values;
}

/// The rows of fp8, scaled back. The format has three bits behind the point, so a uniform value is off by
/// 2.6 % of itself at most on average, and the largest of a row is exactly 448 scales.
inline void check_scaled_rows(const TokensLayout& layout, const Buffer<fp8_e4m3>& values,
                              const Buffer<float>& scales, const std::vector<double>& expected) {
  auto actual = layout.dense(values.data());
  std::vector<double> largest(static_cast<std::size_t>(layout.batch * layout.tokens), 0.0), actual_largest;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(layout.width);
    actual[i] *= double(scales[static_cast<index_t>(row)]);
    largest[row] = std::max(largest[row], std::abs(expected[i]));
  }
  for (const float scale : scales) actual_largest.push_back(448.0 * double(scale));
  STEPVIDEO_CHECK_CLOSE(actual_largest, largest, 1e-4);
  STEPVIDEO_CHECK_CLOSE(actual, expected, 3.5e-2);
}

template <class In, class Out, Execution E>
void layer_norm_agrees_with_its_oracle(E execution, double bound) {
  std::mt19937 engine(43);
  for (int trial = 0; trial < 80; ++trial) {
    const auto in_layout = TokensLayout::random(engine), out_layout = in_layout.moved(engine);
    const auto in = random_stream<In>(in_layout.size(), engine);
    const RandomTerms<Out, E> terms(execution, in_layout, trial, engine);
    const auto expected =
        terms.applied(oracle::layer_norm<In>(in_layout.view<const In>(in.data()), 1e-5), in_layout.tokens);

    const auto placed = place(execution, in);
    const auto out = place(execution, poisoned<Out>(out_layout.size()));
    layer_norm(execution, in_layout.view(placed.data()), terms.views(), 1e-5f, out_layout.view(out.data()));
    STEPVIDEO_CHECK_CLOSE(out_layout.dense(fetch(execution, out).data()), expected, bound);

    const auto values = place(execution, poisoned<fp8_e4m3>(out_layout.size()));
    const auto scales = place(execution, poisoned<float>(in_layout.batch * in_layout.tokens));
    layer_norm(execution, in_layout.view(placed.data()), terms.views(), 1e-5f,
               ScaledTokensView{out_layout.view(values.data()), scales.vector()});
    check_scaled_rows(out_layout, fetch(execution, values), fetch(execution, scales), expected);
  }
}

template <class Delta, class Stream, class Out, Execution E>
void gated_residual_layer_norm_agrees_with_its_oracle(E execution, double stream_bound, double bound) {
  std::mt19937 engine(47);
  for (int trial = 0; trial < 60; ++trial) {
    const auto layout = TokensLayout::random(engine), delta_layout = layout.moved(engine),
               out_layout = layout.moved(engine);
    const auto stream = random_stream<Stream>(layout.size(), engine);
    const auto delta = random_normal<Delta>(delta_layout.size(), engine);
    const auto gate = random_normal<float>(layout.batch * layout.width, engine);
    const RandomTerms<Out, E> terms(execution, layout, trial, engine);
    const bool is_gated = trial % 3 != 0;
    auto expected = layout.dense(stream.data());
    const auto added = delta_layout.dense(delta.data());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto at = static_cast<index_t>(i);
      const index_t row = at / (layout.tokens * layout.width) * layout.width + at % layout.width;
      expected[i] += (is_gated ? double(gate[row]) : 1.0) * added[i];
    }

    const auto placed_delta = place(execution, delta);
    const auto placed_gate = place(execution, gate);
    const auto run = [&](auto out) {
      const auto placed = place(execution, stream);
      const auto gates = is_gated ? MatrixView<const float>(placed_gate.matrix(layout.batch, layout.width))
                                  : MatrixView<const float>{};
      gated_residual_layer_norm(execution, delta_layout.view(placed_delta.data()), gates,
                                layout.view(placed.data()), terms.views(), 1e-5f, out);
      return fetch(execution, placed);
    };
    const auto out = place(execution, poisoned<Out>(out_layout.size()));
    const auto updated = run(out_layout.view(out.data()));
    STEPVIDEO_CHECK_CLOSE(layout.dense(updated.data()), expected, stream_bound);
    const auto normalised = terms.applied(
        oracle::layer_norm<Stream>(layout.view<const Stream>(updated.data()), 1e-5), layout.tokens);
    STEPVIDEO_CHECK_CLOSE(out_layout.dense(fetch(execution, out).data()), normalised, bound);

    const auto values = place(execution, poisoned<fp8_e4m3>(out_layout.size()));
    const auto scales = place(execution, poisoned<float>(layout.batch * layout.tokens));
    BOOST_CHECK(same_bits(run(ScaledTokensView{out_layout.view(values.data()), scales.vector()}), updated));
    check_scaled_rows(out_layout, fetch(execution, values), fetch(execution, scales), normalised);
  }
}

template <Execution E>
void layer_norm_in_place(E execution) {
  std::mt19937 engine(2);
  for (const index_t width : {64, 67, 8192}) {
    const auto values = random_normal<float>(6 * width, engine);
    const auto expected =
        oracle::layer_norm<float>(TokensView<float>::dense(values.data(), 2, 3, width), 1e-6);
    const auto placed = place(execution, values);
    const auto view = TokensView<float>::dense(placed.data(), 2, 3, width);
    layer_norm(execution, view, {}, 1e-6f, view);
    STEPVIDEO_CHECK_CLOSE(fetch(execution, placed), expected, 2e-6);
  }
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void layer_norm_refuses_terms_by_name(E execution) {
  const Buffer<float> values(1024);
  const Buffer<fp8_e4m3> rows(48);
  const auto view = TokensView<float>::dense(values.data(), 2, 3, 8);
  const auto refuses = [&](const LayerNormTerms<float>& terms, const char* text) {
    check_refused([&] { layer_norm(execution, view, terms, 1e-6f, view); }, text);
    check_refused([&] { gated_residual_layer_norm(execution, view, {}, view, terms, 1e-6f, view); }, text);
  };
  const VectorView<const float> width{values.data(), 8}, narrow{values.data(), 7};
  refuses({.weight = width}, "come together");
  refuses({.weight = narrow, .bias = width}, "weight has 7 elements");
  refuses({.scale = values.matrix(3, 8), .shift = values.matrix(2, 8)}, "scale is (3, 8)");
  const auto smaller = TokensView<float>::dense(values.data(), 2, 2, 8);
  check_refused([&] { layer_norm(execution, view, {}, 1e-6f, smaller); }, "out (2, 2, 8)");
  check_refused([&] { gated_residual_layer_norm(execution, smaller, {}, view, {}, 1e-6f, view); },
                "delta is (2, 2, 8)");
  check_refused(
      [&] { gated_residual_layer_norm(execution, view, values.matrix(3, 8), view, {}, 1e-6f, view); },
      "the gate is (3, 8)");
  check_refused(
      [&] {
        layer_norm(execution, view, LayerNormTerms<float>{}, 1e-6f,
                   ScaledTokensView{TokensView<fp8_e4m3>::dense(rows.data(), 2, 3, 8), {values.data(), 5}});
      },
      "5 scales for 6 rows");
}

}  // namespace stepvideo::testing
