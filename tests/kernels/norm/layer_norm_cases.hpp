// The cases of layer_norm and gated_residual_layer_norm, for any place.
#pragma once
#include <stepvideo/kernels/norm/gated_layer_norm.hpp>

#include "kernels/norm/gated_residual_cases.hpp"
#include "oracle/layer_norm.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"
#include "support/scaled_rows.hpp"
#include "support/tokens_layout.hpp"

namespace stepvideo::testing {

/// A sum of a thousand floats in vector registers loses a few units in the last place, and the means of these
/// inputs are ten deviations from zero. AddressSanitizer's checks keep a sum from being vectorised, and one
/// lane loses more.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr Budget norm_budget{.float_roundings = 64};
#else
inline constexpr Budget norm_budget{.float_roundings = 12};
#endif

/// Terms of a random kind, where the kernel reads them, and what they do in double.
template <class T, class Place>
struct RandomTerms {
  bool is_affine, is_modulated;
  index_t batch, width;
  Buffer<T> host_weight, host_bias;
  Buffer<float> host_scale, host_shift;
  PlacedBuffer<T, Place> weight, bias;
  PlacedBuffer<float, Place> scale, shift;

  RandomTerms(const Place& on, index_t batch, index_t width, int kind, std::mt19937& engine)
      : is_affine(kind % 2 == 1),
        is_modulated(kind / 2 % 2 == 1),
        batch(batch),
        width(width),
        host_weight(random_normal<T>(width, engine)),
        host_bias(random_normal<T>(width, engine)),
        host_scale(random_normal<float>(batch * width, engine)),
        host_shift(random_normal<float>(batch * width, engine)),
        weight(place(on, host_weight)),
        bias(place(on, host_bias)),
        scale(place(on, host_scale)),
        shift(place(on, host_shift)) {}

  LayerNormTerms<T> views() const {
    LayerNormTerms<T> terms;
    if (is_affine) terms.weight = weight.vector(), terms.bias = bias.vector();
    if (is_modulated) terms.scale = scale.matrix(batch, width), terms.shift = shift.matrix(batch, width);
    return terms;
  }
  /// Behind the normalised rows of (batch, tokens, width).
  oracle::Sums applied(const oracle::Sums& normalised, index_t tokens) const {
    oracle::Sums result;
    for (index_t i = 0; i < std::ssize(normalised.values); ++i) {
      const auto at = static_cast<std::size_t>(i);
      double value = normalised.values[at], summed = normalised.summed[at];
      const auto apply = [&](double factor, double added) {
        value = value * factor + added, summed = summed * std::abs(factor) + std::abs(added);
      };
      const index_t channel = i % width, row = i / (tokens * width) * width + channel;
      if (is_affine) apply(double(host_weight[channel]), double(host_bias[channel]));
      if (is_modulated) apply(1 + double(host_scale[row]), double(host_shift[row]));
      result.add(value, summed);
    }
    return result;
  }
};

/// A mean far from zero cancels in a careless variance.
template <class T>
Buffer<T> random_stream(index_t size, std::mt19937& engine) {
  auto values = random_normal<T>(size, engine, 2.0f);
  for (T& value : values) value = T(float(value) + 20.0f);
  return values;
}

template <class In, class Out, class Place>
void layer_norm_agrees_with_its_oracle(const Place& on, int trials = 80) {
  std::mt19937 engine(43);
  for (int trial = 0; trial < trials; ++trial) {
    const auto in_layout = TokensLayout::random(engine), out_layout = in_layout.moved(engine);
    const auto in = random_stream<In>(in_layout.size(), engine);
    const RandomTerms<Out, Place> terms(on, in_layout.batch, in_layout.width, trial, engine);
    const auto expected =
        terms.applied(oracle::layer_norm<In>(in_layout.view<const In>(in.data()), 1e-5), in_layout.tokens);

    const auto placed = place(on, in);
    const auto nothing = poisoned<Out>(out_layout.size());
    const auto placed_out = place(on, nothing);
    run(on, [&](auto execution) {
      layer_norm(execution, in_layout.view(placed.data()), terms.views(), 1e-5f,
                 out_layout.view(placed_out.data()));
    });
    const auto out = fetch(on, placed_out);
    check_each<Out>(out_layout.dense(out.data()), expected, norm_budget);
    BOOST_CHECK(out_layout.leaves_the_rest(nothing, out));

    const auto values = place(on, poisoned<fp8_e4m3>(out_layout.size()));
    const auto scales = place(on, poisoned<float>(in_layout.batch * in_layout.tokens));
    run(on, [&](auto execution) {
      layer_norm(execution, in_layout.view(placed.data()), terms.views(), 1e-5f,
                 ScaledTokensView{out_layout.view(values.data()), scales.vector()});
    });
    check_scaled_rows(out_layout.dense(fetch(on, values).data()), fetch(on, scales), expected, norm_budget);
  }
}

template <class Delta, class Stream, class Out, class Place>
void gated_residual_layer_norm_agrees_with_its_oracle(const Place& on, int trials = 60) {
  std::mt19937 engine(47);
  for (int trial = 0; trial < trials; ++trial) {
    const auto layout = TokensLayout::random(engine), delta_layout = layout.moved(engine),
               out_layout = layout.moved(engine);
    const auto stream = random_stream<Stream>(layout.size(), engine);
    const auto delta = random_normal<Delta>(delta_layout.size(), engine);
    const auto gate = random_normal<float>(layout.batch * layout.width, engine);
    const RandomTerms<Out, Place> terms(on, layout.batch, layout.width, trial, engine);
    const bool is_gated = trial % 3 != 0;
    const GatedSums expected(delta_layout.view<const Delta>(delta.data()),
                             is_gated ? MatrixView<const float>(gate.matrix(layout.batch, layout.width))
                                      : MatrixView<const float>{},
                             layout.view<const Stream>(stream.data()));

    const auto placed_delta = place(on, delta);
    const auto placed_gate = place(on, gate);
    const auto stream_after = [&](auto out) {
      const auto placed = place(on, stream);
      const auto gates = is_gated ? MatrixView<const float>(placed_gate.matrix(layout.batch, layout.width))
                                  : MatrixView<const float>{};
      run(on, [&](auto execution) {
        gated_residual_layer_norm(execution, delta_layout.view(placed_delta.data()), gates,
                                  layout.view(placed.data()), terms.views(), 1e-5f, out);
      });
      return fetch(on, placed);
    };
    const auto out = place(on, poisoned<Out>(out_layout.size()));
    const auto updated = stream_after(out_layout.view(out.data()));
    check_each<Stream>(layout.dense(updated.data()), expected, {.float_roundings = 1});
    BOOST_CHECK(layout.leaves_the_rest(stream, updated));
    const auto normalised = terms.applied(
        oracle::layer_norm<Stream>(layout.view<const Stream>(updated.data()), 1e-5), layout.tokens);
    check_each<Out>(out_layout.dense(fetch(on, out).data()), normalised, norm_budget);

    const auto values = place(on, poisoned<fp8_e4m3>(out_layout.size()));
    const auto scales = place(on, poisoned<float>(layout.batch * layout.tokens));
    const auto again = stream_after(ScaledTokensView{out_layout.view(values.data()), scales.vector()});
    BOOST_CHECK(same_bits(again, updated));
    check_scaled_rows(out_layout.dense(fetch(on, values).data()), fetch(on, scales), normalised, norm_budget);
  }
}

template <class Place>
void layer_norm_in_place(const Place& on) {
  std::mt19937 engine(2);
  for (const index_t width : {64, 67, 8192}) {
    const auto values = random_normal<float>(6 * width, engine);
    const auto expected =
        oracle::layer_norm<float>(TokensView<float>::dense(values.data(), 2, 3, width), 1e-6);
    const auto placed = place(on, values);
    const auto view = TokensView<float>::dense(placed.data(), 2, 3, width);
    run(on, [&](auto execution) { layer_norm(execution, view, {}, 1e-6f, view); });
    check_each<float>(fetch(on, placed), expected, norm_budget);
  }
}

/// More batch elements than a grid has blocks in y; each has terms and a gate of its own.
template <class Place>
void layer_norm_of_many_batch_elements(const Place& on) {
  std::mt19937 engine(48);
  const index_t batch = 65'540, tokens = 2;
  for (const index_t width : {8, 5}) {
    const index_t size = batch * tokens * width;
    const auto in = random_normal<float>(size, engine), gate = random_normal<float>(batch * width, engine);
    const auto delta = random_normal<bf16>(size, engine);
    const RandomTerms<bf16, Place> terms(on, batch, width, 3, engine);
    const auto view = [&](auto* data) {
      return TokensView<std::remove_pointer_t<decltype(data)>>::dense(data, batch, tokens, width);
    };
    const auto placed = place(on, in), placed_gate = place(on, gate);
    const auto placed_delta = place(on, delta);
    const auto out = place(on, poisoned<bf16>(size)), rounded = place(on, poisoned<bf16>(size));
    const auto values = place(on, poisoned<fp8_e4m3>(size));
    const auto scales = place(on, poisoned<float>(batch * tokens));
    const auto check_rows = [&](const Buffer<float>& stream) {
      const auto expected = terms.applied(
          oracle::layer_norm<float>(view(static_cast<const float*>(stream.data())), 1e-5), tokens);
      check_each<bf16>(fetch(on, out), expected, norm_budget);
    };
    run(on, [&](auto execution) {
      layer_norm(execution, view(placed.data()), terms.views(), 1e-5f, view(out.data()));
    });
    check_rows(in);

    const auto add = [&](auto&& kernel) {
      const auto before = fetch(on, placed);
      const GatedSums expected(view(delta.data()), gate.matrix(batch, width), view(before.data()));
      run(on, kernel);
      check_each<float>(fetch(on, placed), expected, {.float_roundings = 1});
    };
    const MatrixView<const float> gates = placed_gate.matrix(batch, width);
    add([&](auto execution) {
      gated_residual_layer_norm(execution, view(placed_delta.data()), gates, view(placed.data()),
                                terms.views(), 1e-5f, view(out.data()));
    });
    check_rows(fetch(on, placed));
    add([&](auto execution) {
      gated_residual(execution, view(placed_delta.data()), gates, view(placed.data()), view(rounded.data()));
    });
    const auto stream = fetch(on, placed);
    check_each<bf16>(fetch(on, rounded), std::vector<double>(stream.begin(), stream.end()), 0.0);
    run(on, [&](auto execution) {
      layer_norm(execution, view(placed.data()), terms.views(), 1e-5f,
                 ScaledTokensView{view(values.data()), scales.vector()});
    });
    const auto last = [&](auto&& all) { return all[all.size() - 1]; };
    BOOST_CHECK(last(fetch(on, scales)) > 0 && std::isfinite(float(last(fetch(on, values)))));
  }
}

/// Nothing is read or written: the views may have no data.
template <Execution E>
void nothing_is_normalised_of_an_empty_tensor(E execution) {
  const auto empty = [](index_t batch, index_t tokens, index_t width) {
    return TokensView<float>::dense(nullptr, batch, tokens, width);
  };
  const Buffer<float> scales(6);
  for (const auto& view : {empty(0, 3, 8), empty(2, 0, 8), empty(0, 0, 0)}) {
    layer_norm(execution, view, {}, 1e-5f, view);
    gated_residual_layer_norm(execution, view, {}, view, {}, 1e-5f, view);
    layer_norm(execution, view, LayerNormTerms<float>{}, 1e-5f,
               ScaledTokensView{{nullptr, view.batch, view.tokens, view.width, 0, 0}, {}});
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
  const auto missing = TokensView<float>::dense(nullptr, 2, 3, 8);
  check_refused([&] { layer_norm(execution, missing, {}, 1e-6f, view); },
                "layer_norm: in has no data for its 48 elements");
  check_refused([&] { layer_norm(execution, view, {}, 1e-6f, missing); }, "layer_norm: out has no data");
  check_refused([&] { gated_residual_layer_norm(execution, missing, {}, view, {}, 1e-6f, view); },
                "gated_residual_layer_norm: delta has no data");
  check_refused(
      [&] {
        layer_norm(execution, view, LayerNormTerms<float>{}, 1e-6f,
                   ScaledTokensView{TokensView<fp8_e4m3>::dense(rows.data(), 2, 3, 8), {nullptr, 6}});
      },
      "scales has no data for its 6 elements");
}

}  // namespace stepvideo::testing
