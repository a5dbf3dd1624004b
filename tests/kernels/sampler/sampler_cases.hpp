// The cases of the sampler's step, for any execution.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include <stepvideo/kernels/sampler/count_non_finite.hpp>
#include <stepvideo/kernels/sampler/guided_step.hpp>

#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

template <Execution E>
void a_guided_step_follows_its_formula(E execution) {
  std::mt19937 engine(3);
  for (const index_t size : {1, 17, 4096, 10007, 10008}) {
    for (const index_t offset : {0, 1, 4}) {
      const auto prompted = random_normal<float>(offset + size, engine);
      const auto negative = random_normal<float>(offset + size, engine);
      const auto latents = random_normal<float>(offset + size, engine);
      std::vector<double> expected;
      for (index_t i = 0; i < offset + size; ++i) {
        const double unguided = negative[i];
        const double change = 0.03 * (unguided + 9.0 * (double{prompted[i]} - unguided));
        expected.push_back(double{latents[i]} + (i < offset ? 0.0 : change));
      }
      const auto placed_prompted = place(execution, prompted), placed_negative = place(execution, negative),
                 placed_latents = place(execution, latents);
      const auto part = [&](const auto& buffer) { return VectorView<float>{buffer.data() + offset, size}; };
      guided_step(execution, part(placed_prompted), part(placed_negative), 9.0f, 0.03f, part(placed_latents));
      STEPVIDEO_CHECK_CLOSE(fetch(execution, placed_latents), expected, 1e-6);
      BOOST_CHECK_THROW(guided_step(execution, part(placed_prompted), {placed_negative.data(), size - 1},
                                    9.0f, 0.03f, part(placed_latents)),
                        RequestError);
    }
  }
}

/// NaN, infinities and values as large as they get at random places, first and last among them.
template <class T, Execution E>
void nan_and_infinities_are_counted(E execution) {
  std::mt19937 engine(12);
  for (const int size : {0, 1, 31, 1000, 1'000'003}) {
    auto values = random_normal<T>(size, engine);
    std::set<int> places;
    if (size > 0) places = {0, size - 1};
    for (int i = 0; i < size / 100; ++i) places.insert(random_int(engine, 0, size - 1));
    const float infinity = std::numeric_limits<float>::infinity();
    const float wrong[] = {NAN, infinity, -infinity}, largest = std::same_as<T, fp16> ? 65504.0f : 3e38f;
    for (const int place : places) values[place] = T(wrong[random_int(engine, 0, 2)]);
    for (int i = 0; i < size; i += 7)
      if (!places.contains(i)) values[i] = T(i % 2 == 0 ? largest : -largest);

    const auto count_in = [&](const Buffer<T>& in) {
      const auto placed = place(execution, in);
      Buffer<std::uint64_t> poison(1);
      poison[0] = 12345;
      const auto count = place(execution, poison);
      const Buffer<std::byte, E> memory(
          execution, static_cast<index_t>(count_non_finite_workspace<T>(execution, in.size())));
      count_non_finite<T>(execution, placed.vector(), count.data(), Workspace(memory));
      return fetch(execution, count)[0];
    };
    BOOST_CHECK_EQUAL(count_in(values), places.size());
    for (const int place : places) values[place] = T(0.0f);
    BOOST_CHECK_EQUAL(count_in(values), 0u);
  }
}

}  // namespace stepvideo::testing
