// Latent videos to tokens and back.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What both directions require, on any execution.
template <class L, class T>
void require_latent_tokens(const LatentsView<L>& latents, const TokensView<T>& tokens) {
  require(tokens.batch == latents.batch && tokens.tokens == latents.shape.tokens() &&
              tokens.width == latents.channels,
          [&] {
            return "latents of " + std::to_string(latents.batch) + " x " +
                   std::to_string(latents.shape.tokens()) + " pixels with " +
                   std::to_string(latents.channels) + " channels do not fit tokens " + shape_text(tokens);
          });
  require_data("latents_to_tokens and back", "latents", latents);
  require_data("latents_to_tokens and back", "tokens", tokens);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// tokens (batch, frames x height x width, channels) = latents, column fastest.
template <HostElement T>
void latents_to_tokens(Host, std::type_identity_t<LatentsView<const float>> latents, TokensView<T> tokens) {
  require_latent_tokens(latents, tokens);
  const index_t pixels = index_t{latents.shape.height} * latents.shape.width;
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < latents.batch; ++batch)
    for (index_t token = 0; token < tokens.tokens; ++token) {
      const index_t frame = token / pixels, pixel = token % pixels;
      const float* source =
          latents.data + (batch * latents.shape.frames + frame) * latents.channels * pixels + pixel;
      T* target = tokens.row(batch, token);
      for (index_t channel = 0; channel < latents.channels; ++channel)
        target[channel] = T(source[channel * pixels]);
    }
}

/// The inverse.
template <HostElement T>
void tokens_to_latents(Host, TokensView<const T> tokens, LatentsView<float> latents) {
  require_latent_tokens(latents, tokens);
  const index_t pixels = index_t{latents.shape.height} * latents.shape.width;
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < latents.batch; ++batch)
    for (index_t frame = 0; frame < latents.shape.frames; ++frame)
      for (index_t channel = 0; channel < latents.channels; ++channel) {
        float* target =
            latents.data + ((batch * latents.shape.frames + frame) * latents.channels + channel) * pixels;
        for (index_t pixel = 0; pixel < pixels; ++pixel)
          target[pixel] = float(tokens.row(batch, frame * pixels + pixel)[channel]);
      }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
