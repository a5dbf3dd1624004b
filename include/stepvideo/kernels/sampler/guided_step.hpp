// One step of the sampler: classifier-free guidance and the Euler update, in float32.
#pragma once
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// Throws RequestError unless all three have the same size.
inline void require_guided_step_sizes(VectorView<const float> prompted, VectorView<const float> negative,
                                      VectorView<float> latents) {
  require(prompted.size == latents.size && negative.size == latents.size, [&] {
    return "the velocities have " + std::to_string(prompted.size) + " and " + std::to_string(negative.size) +
           " elements and the latents " + std::to_string(latents.size) + "; all three must agree";
  });
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// latents += step_size (u + scale (c - u)), with c and u the velocities for the prompt and the negative
/// prompt. All three have the same size; throws RequestError when they do not.
inline void guided_step(Host, VectorView<const float> prompted, VectorView<const float> negative, float scale,
                        float step_size, VectorView<float> latents) {
  require_guided_step_sizes(prompted, negative, latents);
#pragma omp parallel for simd schedule(static)
  for (index_t i = 0; i < latents.size; ++i)
    latents[i] += step_size * (negative[i] + scale * (prompted[i] - negative[i]));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
