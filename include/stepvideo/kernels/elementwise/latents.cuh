// Latent videos to tokens and back on the GPU, behind the same calls as on the CPU: a transposition of
// channels and pixels in every frame.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// A block transposes `tile` channels of `tile` pixels through shared memory: latents move along pixels,
/// tokens along channels, `vector` channels at a time.
template <class T, int vector_elements>
struct LatentTokensPolicy {
  using Element = T;
  static constexpr int vector = vector_elements;
  static constexpr int tile = 64, threads = 256, warps = threads / warp_lanes;
};

template <class Latent, class Token>
struct LatentTokensParams {
  LatentsView<Latent> latents;
  TokensView<Token> tokens;
};

namespace detail {

/// Channels by pixels; the odd row length spreads a column over the banks.
template <class Policy>
struct LatentTile {
  float values[Policy::tile][Policy::tile + 1];
};

/// Where a block's tile lies.
template <class Policy, class Latent>
struct LatentTilePlace {
  index_t batch, frame, first_channel, first_pixel, pixels, channels;

  __device__ explicit LatentTilePlace(const LatentsView<Latent>& latents)
      : batch(blockIdx.z / latents.shape.frames),
        frame(blockIdx.z % latents.shape.frames),
        first_channel(index_t{blockIdx.y} * Policy::tile),
        first_pixel(index_t{blockIdx.x} * Policy::tile),
        pixels(index_t{latents.shape.height} * latents.shape.width),
        channels(latents.channels) {}

  __device__ Latent* latent(const LatentsView<Latent>& latents, int channel, int pixel) const {
    const index_t plane = (batch * latents.shape.frames + frame) * channels + first_channel + channel;
    return latents.data + plane * pixels + first_pixel + pixel;
  }
  template <class Token>
  __device__ Token* token(const TokensView<Token>& tokens, int channel, int pixel) const {
    return tokens.row(batch, frame * pixels + first_pixel + pixel) + first_channel + channel;
  }
  __device__ bool has(int channel, int pixel) const {
    return first_channel + channel < channels && first_pixel + pixel < pixels;
  }
};

/// body(step, channel, pixel) for this thread's share of a tile: warps side by side along one extent, lanes
/// with `vector` elements each along the other.
template <class Policy, class Body>
__device__ void along_pixels(Body&& body) {
  const int warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
#pragma unroll
  for (int c = 0; c < Policy::tile / Policy::warps; ++c)
#pragma unroll
    for (int p = 0; p < Policy::tile / warp_lanes; ++p)
      body(c * (Policy::tile / warp_lanes) + p, c * Policy::warps + warp, p * warp_lanes + lane);
}
template <class Policy, class Body>
__device__ void along_channels(Body&& body) {
  const int warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
  constexpr int steps = Policy::tile / warp_lanes / Policy::vector;
#pragma unroll
  for (int p = 0; p < Policy::tile / Policy::warps; ++p)
#pragma unroll
    for (int c = 0; c < steps; ++c)
      body(p * steps + c, (c * warp_lanes + lane) * Policy::vector, p * Policy::warps + warp);
}

}  // namespace detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    latents_to_tokens_kernel(LatentTokensParams<const float, typename Policy::Element> params) {
  using T = typename Policy::Element;
  __shared__ detail::LatentTile<Policy> tile;
  const detail::LatentTilePlace<Policy, const float> place(params.latents);
  float loaded[Policy::tile * Policy::tile / Policy::threads] = {};
  detail::along_pixels<Policy>([&](int step, int channel, int pixel) {
    if (place.has(channel, pixel)) loaded[step] = __ldcs(place.latent(params.latents, channel, pixel));
  });
  detail::along_pixels<Policy>(
      [&](int step, int channel, int pixel) { tile.values[channel][pixel] = loaded[step]; });
  __syncthreads();
  detail::along_channels<Policy>([&](int, int channel, int pixel) {
    if (!place.has(channel, pixel)) return;
    float values[Policy::vector];
#pragma unroll
    for (int e = 0; e < Policy::vector; ++e) values[e] = tile.values[channel + e][pixel];
    store_pack_once(place.token(params.tokens, channel, pixel), round_pack<T>(values));
  });
}

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    tokens_to_latents_kernel(LatentTokensParams<float, const typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector;
  __shared__ detail::LatentTile<Policy> tile;
  const detail::LatentTilePlace<Policy, float> place(params.latents);
  Pack<T, vector> loaded[Policy::tile * Policy::tile / Policy::threads / vector] = {};
  detail::along_channels<Policy>([&](int step, int channel, int pixel) {
    if (place.has(channel, pixel))
      loaded[step] = load_pack_once<vector>(place.token(params.tokens, channel, pixel));
  });
  detail::along_channels<Policy>([&](int step, int channel, int pixel) {
#pragma unroll
    for (int e = 0; e < vector; ++e) tile.values[channel + e][pixel] = float(loaded[step].elements[e]);
  });
  __syncthreads();
  detail::along_pixels<Policy>([&](int, int channel, int pixel) {
    if (place.has(channel, pixel))
      __stcs(place.latent(params.latents, channel, pixel), tile.values[channel][pixel]);
  });
}

namespace detail {

/// Launches `kernel_of(policy)`: words of four bytes along the channels where the tokens allow them.
template <class T, class Latent, class Token, class KernelOf>
void launch_latent_tokens(Device device, LatentsView<Latent> latents, TokensView<Token> tokens,
                          KernelOf&& kernel_of) {
  require_latent_tokens(latents, tokens);
  if (latents.size() == 0) return;
  const auto launch_with = [&](auto policy) {
    const auto tiles = [&](index_t extent) {
      return static_cast<unsigned>((extent + policy.tile - 1) / policy.tile);
    };
    launch({.grid = dim3(tiles(index_t{latents.shape.height} * latents.shape.width), tiles(latents.channels),
                         static_cast<unsigned>(latents.batch * latents.shape.frames)),
            .block = policy.threads,
            .stream = device.stream},
           kernel_of(policy), LatentTokensParams<Latent, Token>{latents, tokens});
  };
  constexpr int vector = sizeof(T) < 4 ? 2 : 1;
  if (packs_fit<vector>(tokens.data, tokens.width, tokens.batch_stride, tokens.token_stride)) {
    launch_with(LatentTokensPolicy<T, vector>{});
  } else {
    launch_with(LatentTokensPolicy<T, 1>{});
  }
}

}  // namespace detail

/// See the host's latents_to_tokens: same shapes, same errors, the same bits. Runs on device.stream.
template <Element T>
void latents_to_tokens(Device device, std::type_identity_t<LatentsView<const float>> latents,
                       TokensView<T> tokens) {
  detail::launch_latent_tokens<T>(device, latents, tokens,
                                  []<class Policy>(Policy) { return latents_to_tokens_kernel<Policy>; });
}

/// The inverse.
template <Element T>
void tokens_to_latents(Device device, TokensView<const T> tokens, LatentsView<float> latents) {
  detail::launch_latent_tokens<T>(device, latents, tokens,
                                  []<class Policy>(Policy) { return tokens_to_latents_kernel<Policy>; });
}

}  // namespace stepvideo
