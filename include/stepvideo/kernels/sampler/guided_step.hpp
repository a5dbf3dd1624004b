// One step of the sampler: classifier-free guidance and the Euler update, in float32.
#pragma once
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/sampler/flow_schedule.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What the transformer predicts with the prompt and with the negative prompt. Without guidance, whose scale
/// is 1, nothing needs the negative one: it may have no data and no size.
struct GuidedVelocities {
  VectorView<const float> prompt, negative;

  constexpr bool has_negative() const { return negative.data != nullptr || negative.size > 0; }
};

/// What guided_step requires, on any execution. Throws RequestError naming what disagrees.
inline void require_guided_step(const GuidedVelocities& velocities, float scale, VectorView<float> latents) {
  const VectorView<const float> prompt = velocities.prompt, negative = velocities.negative;
  require(prompt.size == latents.size && (!velocities.has_negative() || negative.size == latents.size), [&] {
    return "guided_step: the velocities of the prompt and the negative prompt have " +
           std::to_string(prompt.size) + " and " + std::to_string(negative.size) +
           " elements and the latents " + std::to_string(latents.size) + "; all three must agree";
  });
  require(velocities.has_negative() || scale == 1.0f, [&] {
    return "guided_step: there is no velocity of the negative prompt and the scale is " +
           std::to_string(scale) + "; without guidance it is 1";
  });
  require_data("guided_step", "the prompt's velocity", prompt);
  require_data("guided_step", "the negative prompt's velocity", negative);
  require_data("guided_step", "latents", latents);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// latents += step_size (u + scale (c - u)), with c and u the velocities of the prompt and the negative
/// prompt; without the latter, latents += step_size c. Throws RequestError where sizes disagree.
///     guided_step(host, {.prompt = c, .negative = u}, 9.0f, schedule.step_size(i), latents);
inline void guided_step(Host, const GuidedVelocities& velocities, float scale, float step_size,
                        VectorView<float> latents) {
  require_guided_step(velocities, scale, latents);
  const float* prompted = velocities.prompt.data;
  const float* unguided = velocities.has_negative() ? velocities.negative.data : prompted;
#pragma omp parallel for simd schedule(static)
  for (index_t i = 0; i < latents.size; ++i)
    latents[i] += step_size * (unguided[i] + scale * (prompted[i] - unguided[i]));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct GuidedStep;

template <class E, class Latents>
inline constexpr Mistake guided_step_mistake =
    first_of({execution_mistake<E, GuidedStep>, result_mistake<E, VectorView, Latents>,
              std::same_as<value_of<Latents>, float> ? Mistake::none : Mistake::result_of_another_element});
}  // namespace calls

/// Every call of guided_step that cannot be, to say why.
template <class E, class Latents>
requires calls::Mistaken<calls::guided_step_mistake<E, Latents>, E>
void guided_step(const E&, const GuidedVelocities&, float, float, const Latents&) {
  constexpr auto mistake = calls::guided_step_mistake<E, Latents>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "guided_step on a Device is in <stepvideo/kernels/sampler/guided_step.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, Latents>();
}
template <calls::First E, class... Others>
requires(sizeof...(Others) < 4) void guided_step(const E&, const Others&...) {
  // clang-format off
  static_assert(sizeof...(Others) >= 4, "guided_step takes an execution, {.prompt, .negative} velocities, the scale of guidance, the size of the step and the latents");
  // clang-format on
}

}  // namespace stepvideo
