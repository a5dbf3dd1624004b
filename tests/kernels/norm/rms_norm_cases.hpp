// The cases of rms_norm, for any place.
#pragma once
#include <algorithm>

#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "oracle/rms_norm.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

/// Part `part` of a packed, per-head interleaved projection (batch, tokens, heads, parts, dim).
template <class T>
HeadsView<T> packed_part(T* data, index_t batch, index_t tokens, index_t heads, index_t parts, index_t part,
                         index_t dim) {
  const index_t width = heads * parts * dim;
  return {data + part * dim, batch, tokens, heads, dim, tokens * width, width, parts * dim};
}

/// The normed value is rounded before the weight comes to it. A sum of squares has no terms of two signs.
inline constexpr Budget rms_budget{.float_roundings = 12, .element_roundings = 1};

/// One shape: a part of a packed input, a dense result.
template <class T, class Place>
void check_rms_norm(const Place& on, std::mt19937& engine, index_t batch, index_t tokens, index_t heads,
                    index_t parts, index_t part, index_t dim) {
  const auto in = random_normal<T>(batch * tokens * heads * parts * dim, engine, 3.0f);
  const auto weight = random_normal<T>(dim, engine);
  const auto placed = place(on, in), placed_weight = place(on, weight),
             out = place(on, poisoned<T>(batch * tokens * heads * dim));
  run(on, [&](auto execution) {
    rms_norm(execution, packed_part<const T>(placed.data(), batch, tokens, heads, parts, part, dim),
             placed_weight.vector(), 1e-6f, HeadsView<T>::dense(out.data(), batch, tokens, heads, dim));
  });
  check_each<T>(fetch(on, out),
                oracle::rms_norm<T>(packed_part<const T>(in.data(), batch, tokens, heads, parts, part, dim),
                                    weight.data(), 1e-6),
                rms_budget);
}

template <class T, class Place>
void rms_norm_agrees_with_its_oracle_on_ragged_shapes(const Place& on, int trials = 60) {
  std::mt19937 engine(17);
  for (int trial = 0; trial < trials; ++trial) {
    const index_t dims[] = {1, 7, 64, 128, 129, 256, 1000};
    const int parts = random_int(engine, 1, 3);
    check_rms_norm<T>(on, engine, random_int(engine, 1, 3), random_int(engine, 1, 70),
                      random_int(engine, 1, 5), parts, random_int(engine, 0, parts - 1),
                      dims[random_int(engine, 0, 6)]);
  }
}

/// More batch elements than a grid has blocks in y, in packs, in a loop of packs and one by one.
template <class Place>
void rms_norm_of_many_batch_elements(const Place& on) {
  std::mt19937 engine(18);
  for (const index_t dim : {8, 3}) check_rms_norm<bf16>(on, engine, 65'540, 2, 1, 2, 1, dim);
}

template <class Place>
void rms_norm_in_place(const Place& on) {
  std::mt19937 engine(2);
  for (const index_t dim : {64, 61, 2048}) {
    const auto in = random_normal<float>(6 * dim, engine), weight = random_normal<float>(dim, engine);
    const auto expected =
        oracle::rms_norm<float>(HeadsView<const float>::dense(in.data(), 1, 3, 2, dim), weight.data(), 1e-6);
    const auto placed = place(on, in), placed_weight = place(on, weight);
    const auto view = HeadsView<float>::dense(placed.data(), 1, 3, 2, dim);
    run(on, [&](auto execution) { rms_norm(execution, view, placed_weight.vector(), 1e-6f, view); });
    check_each<float>(fetch(on, placed), expected, rms_budget);
  }
}

/// Nothing is read or written: the views may have no data.
template <Execution E>
void rms_norm_of_an_empty_tensor(E execution) {
  const Buffer<float> weight(8);
  for (const auto& view :
       {HeadsView<float>::dense(nullptr, 0, 3, 2, 8), HeadsView<float>::dense(nullptr, 2, 0, 2, 8),
        HeadsView<float>::dense(nullptr, 2, 3, 0, 8)})
    rms_norm(execution, view, weight.vector(), 1e-6f, view);
  const auto no_channels = HeadsView<float>::dense(nullptr, 2, 3, 2, 0);
  rms_norm(execution, no_channels, VectorView<float>{}, 1e-6f, no_channels);
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void rms_norm_refuses_by_name(E execution) {
  const Buffer<float> values(64);
  const auto view = HeadsView<float>::dense(values.data(), 1, 1, 1, 64),
             missing = HeadsView<float>::dense(nullptr, 1, 1, 1, 64),
             longer = HeadsView<float>::dense(values.data(), 1, 2, 1, 64);
  const VectorView<float> weight = values.vector();
  check_refused(
      [&] {
        rms_norm(execution, view, VectorView<float>{values.data(), 63}, 1e-6f, view);
      },
      "rms_norm: weight has 63 elements and a row has 64; they must be equal");
  check_refused([&] { rms_norm(execution, view, weight, 1e-6f, longer); }, "out is (1, 2, 1, 64)");
  check_refused([&] { rms_norm(execution, missing, weight, 1e-6f, view); },
                "rms_norm: in has no data for its 64 elements");
  check_refused([&] { rms_norm(execution, view, weight, 1e-6f, missing); }, "rms_norm: out has no data");
  check_refused(
      [&] {
        rms_norm(execution, view, VectorView<float>{nullptr, 64}, 1e-6f, view);
      },
      "rms_norm: weight has no data");
}

}  // namespace stepvideo::testing
