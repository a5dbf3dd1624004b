// The cases of the sampler's step and noise, for any place.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include <stepvideo/kernels/sampler/count_non_finite.hpp>
#include <stepvideo/kernels/sampler/guided_step.hpp>
#include <stepvideo/kernels/sampler/noise.hpp>

#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

/// Each element of the latents, by the formula in double; what lies before and behind them stays. Without a
/// negative velocity the scale is 1.
template <class Place>
void a_guided_step_follows_its_formula(const Place& on) {
  std::mt19937 engine(3);
  for (const index_t size : {0, 1, 17, 4096, 10007, 10008})
    for (const index_t offset : {0, 1, 4})
      for (const bool is_guided : {true, false}) {
        const float scale = is_guided ? 9.0f : 1.0f, step_size = 0.03f;
        const auto prompt = random_normal<float>(offset + size + 1, engine),
                   negative = random_normal<float>(offset + size + 1, engine),
                   latents = random_normal<float>(offset + size + 1, engine);
        std::vector<double> expected(latents.begin(), latents.end()), summed(expected.size(), 0.0);
        for (index_t i = offset; i < offset + size; ++i) {
          const double c = prompt[i], u = is_guided ? double{negative[i]} : 0.0,
                       weight = is_guided ? 9.0 : 1.0;
          const auto at = static_cast<std::size_t>(i);
          expected[at] += double{step_size} * (u + weight * (c - u));
          summed[at] =
              std::abs(double{latents[i]}) + step_size * (std::abs(u) + weight * (std::abs(c) + std::abs(u)));
        }
        const auto placed_prompt = place(on, prompt), placed_negative = place(on, negative),
                   placed_latents = place(on, latents);
        const auto part = [&](const auto& buffer) { return VectorView<float>{buffer.data() + offset, size}; };
        run(on, [&](auto execution) {
          guided_step(execution,
                      {.prompt = part(placed_prompt),
                       .negative = is_guided ? part(placed_negative) : VectorView<float>{}},
                      scale, step_size, part(placed_latents));
        });
        check_each<float>(fetch(on, placed_latents), expected, summed);
      }
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void guided_step_refuses_by_name(E execution) {
  const Buffer<float> values(8);
  const VectorView<float> eight = values.vector(), seven{values.data(), 7}, missing{nullptr, 8};
  const auto refuses = [&](VectorView<float> prompt, VectorView<float> negative, float scale,
                           VectorView<float> latents, const char* text) {
    check_refused(
        [&] { guided_step(execution, {.prompt = prompt, .negative = negative}, scale, 0.1f, latents); },
        text);
  };
  refuses(eight, seven, 9, eight,
          "the prompt and the negative prompt have 8 and 7 elements and the latents 8");
  refuses(seven, eight, 9, eight, "have 7 and 8 elements");
  refuses(eight, eight, 9, seven, "the latents 7");
  refuses(eight, {}, 9, eight, "no velocity of the negative prompt and the scale is 9");
  refuses(missing, eight, 9, eight, "the prompt's velocity has no data for its 8 elements");
  refuses(eight, missing, 9, eight, "the negative prompt's velocity has no data");
  refuses(eight, eight, 9, missing, "latents has no data");
  check_refused([&] { fill_unit_normal(execution, 1, 0, missing); }, "fill_normal: out has no data");
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
