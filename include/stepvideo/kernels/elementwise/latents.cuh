// Latent videos to tokens and back on the GPU, behind the same calls as on the CPU: a transposition of
// channels and pixels in every frame.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// A block transposes `tile_channels` channels of `tile_pixels` pixels through shared memory: latents move
/// along pixels, tokens along channels, `vector` channels at a time.
template <class T, int vector_elements, int pixels>
struct LatentTokensPolicy {
  using Element = T;
  static constexpr int vector = vector_elements;
  static constexpr int tile_channels = 64, tile_pixels = pixels;
  static constexpr int threads = 256, warps = threads / warp_lanes;
  static constexpr int steps = tile_channels * tile_pixels / threads;
  static_assert(tile_channels % (warp_lanes * vector) == 0, "a warp's packs cover the tile's channels");
};

/// The tile's pixels, by direction. On an H200 with 64 channels of 36 x 34 x 62 pixels, in shares of the
/// device copy's 4228 GB/s, for 32 videos: to bf16 tokens 97 % (128 pixels 83 %), from float tokens 92 % (64
/// pixels 83 %: planes of 2108 pixels cut lines of memory in two, and longer runs cut fewer). Two videos, the
/// size the sampler has, take 18 and 23 microseconds, 78 and 79 %, of which two are the launch.
struct LatentTokensTuning {
  static constexpr int pixels_to_tokens = 64, pixels_to_latents = 128;
};

template <class Latent, class Token>
struct LatentTokensParams {
  LatentsView<Latent> latents;
  TokensView<Token> tokens;
};

namespace elementwise_detail {

/// Channels by pixels; the odd row length spreads a column over the banks.
template <class Policy>
struct LatentTile {
  float values[Policy::tile_channels][Policy::tile_pixels + 1];
};

/// Where a block's tile lies.
template <class Policy, class Latent>
struct LatentTilePlace {
  index_t batch, frame, first_channel, first_pixel, pixels, channels;

  __device__ explicit LatentTilePlace(const LatentsView<Latent>& latents)
      : batch(blockIdx.z / latents.shape.frames),
        frame(blockIdx.z % latents.shape.frames),
        first_channel(index_t{blockIdx.y} * Policy::tile_channels),
        first_pixel(index_t{blockIdx.x} * Policy::tile_pixels),
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
  for (int c = 0; c < Policy::tile_channels / Policy::warps; ++c)
#pragma unroll
    for (int p = 0; p < Policy::tile_pixels / warp_lanes; ++p)
      body(c * (Policy::tile_pixels / warp_lanes) + p, c * Policy::warps + warp, p * warp_lanes + lane);
}
template <class Policy, class Body>
__device__ void along_channels(Body&& body) {
  const int warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
  constexpr int steps = Policy::tile_channels / warp_lanes / Policy::vector;
#pragma unroll
  for (int p = 0; p < Policy::tile_pixels / Policy::warps; ++p)
#pragma unroll
    for (int c = 0; c < steps; ++c)
      body(p * steps + c, (c * warp_lanes + lane) * Policy::vector, p * Policy::warps + warp);
}

}  // namespace elementwise_detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    latents_to_tokens_kernel(LatentTokensParams<const float, typename Policy::Element> params) {
  using T = typename Policy::Element;
  __shared__ elementwise_detail::LatentTile<Policy> tile;
  const elementwise_detail::LatentTilePlace<Policy, const float> place(params.latents);
  float loaded[Policy::steps] = {};
  elementwise_detail::along_pixels<Policy>([&](int step, int channel, int pixel) {
    if (place.has(channel, pixel)) loaded[step] = __ldcs(place.latent(params.latents, channel, pixel));
  });
  elementwise_detail::along_pixels<Policy>(
      [&](int step, int channel, int pixel) { tile.values[channel][pixel] = loaded[step]; });
  __syncthreads();
  elementwise_detail::along_channels<Policy>([&](int, int channel, int pixel) {
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
  __shared__ elementwise_detail::LatentTile<Policy> tile;
  const elementwise_detail::LatentTilePlace<Policy, float> place(params.latents);
  Pack<T, vector> loaded[Policy::steps / vector] = {};
  elementwise_detail::along_channels<Policy>([&](int step, int channel, int pixel) {
    if (place.has(channel, pixel))
      loaded[step] = load_pack<vector>(place.token(params.tokens, channel, pixel));
  });
  elementwise_detail::along_channels<Policy>([&](int step, int channel, int pixel) {
#pragma unroll
    for (int e = 0; e < vector; ++e) tile.values[channel + e][pixel] = float(loaded[step].elements[e]);
  });
  __syncthreads();
  elementwise_detail::along_pixels<Policy>([&](int, int channel, int pixel) {
    if (place.has(channel, pixel))
      *place.latent(params.latents, channel, pixel) = tile.values[channel][pixel];
  });
}

namespace elementwise_detail {

/// Launches `kernel_of(policy)`: words of four bytes along the channels where the tokens allow them.
template <class T, int pixels, class Latent, class Token, class KernelOf>
void launch_latent_tokens(Device device, LatentsView<Latent> latents, TokensView<Token> tokens,
                          KernelOf&& kernel_of) {
  require_latent_tokens(latents, tokens);
  if (latents.size() == 0) return;
  const auto launch_with = [&](auto policy) {
    constexpr const char* name = "latents_to_tokens and back";
    const auto tiles = [](index_t extent, index_t tile) { return (extent + tile - 1) / tile; };
    const index_t plane = index_t{latents.shape.height} * latents.shape.width;
    const unsigned of_pixels = grid_blocks(name, tiles(plane, policy.tile_pixels)),
                   of_channels = short_grid_blocks(name, tiles(latents.channels, policy.tile_channels)),
                   frames = short_grid_blocks(name, latents.shape.frames);
    const auto body = [&](index_t first, unsigned count) {
      LatentTokensParams<Latent, Token> params{latents, from_batch(tokens, first)};
      params.latents.data += first * latents.channels * latents.shape.tokens();
      launch({.grid = dim3(of_pixels, of_channels, count * frames),
              .block = policy.threads,
              .stream = device.stream},
             kernel_of(policy), params);
    };
    for_each_grid_run(latents.batch, body, longest_grid_run / frames);
  };
  constexpr int vector = sizeof(T) < 4 ? 2 : 1;
  if (packs_fit<vector>(tokens.data, tokens.width, tokens.batch_stride, tokens.token_stride)) {
    launch_with(LatentTokensPolicy<T, vector, pixels>{});
  } else {
    launch_with(LatentTokensPolicy<T, 1, pixels>{});
  }
}

}  // namespace elementwise_detail

/// See the host's latents_to_tokens: same shapes, same errors, the same bits. Runs on device.stream.
template <Element T>
void latents_to_tokens(Device device, std::type_identity_t<LatentsView<const float>> latents,
                       TokensView<T> tokens) {
  elementwise_detail::launch_latent_tokens<T, LatentTokensTuning::pixels_to_tokens>(
      device, latents, tokens, []<class Policy>(Policy) { return latents_to_tokens_kernel<Policy>; });
}

/// The inverse.
template <Element T>
void tokens_to_latents(Device device, TokensView<const T> tokens, LatentsView<float> latents) {
  elementwise_detail::launch_latent_tokens<T, LatentTokensTuning::pixels_to_latents>(
      device, latents, tokens, []<class Policy>(Policy) { return tokens_to_latents_kernel<Policy>; });
}

}  // namespace stepvideo
