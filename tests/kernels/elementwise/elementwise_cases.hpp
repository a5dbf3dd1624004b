// The cases of latents and time, for any execution.
#pragma once
#include <cmath>

#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>

#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

template <class T>
constexpr double bound = std::same_as<T, float> ? 1e-6 : 4e-3;

template <class T, Execution E>
void latents_become_tokens_and_come_back(E execution) {
  std::mt19937 engine(3);
  for (int trial = 0; trial < 24; ++trial) {
    const LatentShape shape{random_int(engine, 1, 4), random_int(engine, 1, 12), random_int(engine, 1, 17)};
    const index_t widths[] = {1, 7, 16, 64, 65, 130};
    const index_t batch = random_int(engine, 1, 2), channels = widths[random_int(engine, 0, 5)];
    const index_t pixels = index_t{shape.height} * shape.width, offset = random_int(engine, 0, 3);
    const index_t stride = channels + random_int(engine, 0, 2);
    auto latents = random_normal<float>(batch * channels * shape.tokens(), engine);
    for (float& value : latents) value = float(T(value));

    const auto placed = place(execution, latents);
    const auto values = place(execution, poisoned<T>(offset + batch * shape.tokens() * stride));
    const TokensView<T> view{values.data() + offset,  batch, shape.tokens(), channels,
                             shape.tokens() * stride, stride};
    latents_to_tokens(execution, LatentsView<const float>{placed.data(), batch, channels, shape}, view);
    const auto tokens = fetch(execution, values);
    bool is_equal = true;
    for (index_t i = 0; i < latents.size(); ++i) {
      const index_t pixel = i % pixels, plane = i / pixels, channel = plane % channels;
      const index_t token = plane / channels * pixels + pixel;  // batch and frame run together
      is_equal = is_equal && float(tokens[offset + token * stride + channel]) == latents[i];
    }
    BOOST_CHECK_MESSAGE(is_equal, channels << " channels of " << pixels << " pixels lose their order");

    const auto back = place(execution, poisoned<float>(latents.size()));
    tokens_to_latents(execution, TokensView<const T>(view),
                      LatentsView<float>{back.data(), batch, channels, shape});
    BOOST_CHECK(same_bits(fetch(execution, back), latents));
    BOOST_CHECK_THROW(
        latents_to_tokens(execution, LatentsView<const float>{placed.data(), batch + 1, channels, shape},
                          view),
        RequestError);
  }
}

template <class T, Execution E>
void timestep_sinusoids_put_cosines_first(E execution) {
  Buffer<float> times(3);
  times[0] = 0.0f, times[1] = 0.25f, times[2] = 0.999f;
  const auto placed = place(execution, times);
  for (const index_t channels : {2, 10, 256, 1026}) {
    std::vector<double> expected;
    for (const float time : times)
      for (index_t i = 0; i < channels; ++i) {
        const index_t half = channels / 2;
        const double angle = 1000.0 * time * std::exp(-std::log(10000.0) * double(i % half) / double(half));
        expected.push_back(i < half ? std::cos(angle) : std::sin(angle));
      }
    const auto out = place(execution, poisoned<T>(3 * channels));
    timestep_sinusoids(execution, VectorView<const float>(placed.vector()), out.matrix(3, channels));
    STEPVIDEO_CHECK_CLOSE(fetch(execution, out), expected, bound<T>);
  }
  const auto odd = place(execution, poisoned<T>(9));
  BOOST_CHECK_THROW(timestep_sinusoids(execution, VectorView<const float>(placed.vector()), odd.matrix(3, 3)),
                    RequestError);
}

template <class T, Execution E>
void a_table_is_added_to_rows_of_its_own_or_to_a_shared_row(E execution) {
  std::mt19937 engine(4);
  const index_t batch = 3, rows = 6;
  for (const index_t width : {37, 600}) {
    const auto table = random_normal<T>(rows * width, engine);
    const auto own = random_normal<T>(batch * rows * width, engine),
               shared = random_normal<T>(batch * width, engine);
    std::vector<double> expected_own, expected_shared;
    for (index_t i = 0; i < batch * rows * width; ++i) {
      expected_own.push_back(double(own[i]) + double(table[i % (rows * width)]));
      expected_shared.push_back(double(shared[i / (rows * width) * width + i % width]) +
                                double(table[i % (rows * width)]));
    }
    const auto placed_table = place(execution, table), placed_own = place(execution, own),
               placed_shared = place(execution, shared);
    const auto add = [&](MatrixView<const T> in) {
      const auto out = place(execution, poisoned<float>(batch * rows * width));
      add_table(execution, in, MatrixView<const T>(placed_table.matrix(rows, width)),
                out.matrix(batch, rows * width));
      return fetch(execution, out);
    };
    STEPVIDEO_CHECK_CLOSE(add(placed_own.matrix(batch, rows * width)), expected_own, 1e-6);
    STEPVIDEO_CHECK_CLOSE(add(placed_shared.matrix(batch, width)), expected_shared, 1e-6);
    BOOST_CHECK_THROW(add(placed_shared.matrix(1, width)), RequestError);
  }
}

}  // namespace stepvideo::testing
