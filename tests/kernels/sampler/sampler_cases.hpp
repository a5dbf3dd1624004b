// The cases of the sampler's step, for any execution.
#pragma once
#include <vector>

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

}  // namespace stepvideo::testing
