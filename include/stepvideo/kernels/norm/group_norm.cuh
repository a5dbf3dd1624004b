// GroupNorm of a channels-last video on the GPU, behind the same call as on the CPU: one pass for the
// moments, one to apply them.
#pragma once
#include <algorithm>
#include <cstdint>

#include <cub/block/block_reduce.cuh>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/group_norm.hpp>
#include <stepvideo/kernels/tile/exp.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/pair_words.cuh>

namespace stepvideo {

/// How the GPU splits a frame: into parts of whole pixels. A thread keeps to the same `vector` channels.
struct GroupNormTiling {
  static constexpr int threads = 256;
  static constexpr int pixels_in_flight = 4;         ///< of a thread: loads before the first use
  static constexpr index_t part_elements = 1 << 17;  ///< a block's; some microseconds of its work

  index_t pixels, channels, parts, part_pixels;
  int vectors;  ///< of channels, in a block
  int rows;     ///< pixels that a block takes at once
  int chunks;   ///< of channels, each a block

  /// Depends on the shape alone, so that sums have one order on every GPU.
  template <class T>
  static GroupNormTiling of(const VideoView<T>& in, int vector) {
    GroupNormTiling tiling{};
    tiling.pixels = in.height * in.width, tiling.channels = in.channels;
    tiling.part_pixels = std::max<index_t>(1, part_elements / in.channels);
    tiling.parts = (tiling.pixels + tiling.part_pixels - 1) / tiling.part_pixels;
    const int all_vectors = static_cast<int>((in.channels + vector - 1) / vector);
    tiling.vectors = std::min(all_vectors, threads);
    tiling.rows = threads / tiling.vectors;
    tiling.chunks = (all_vectors + tiling.vectors - 1) / tiling.vectors;
    return tiling;
  }
  unsigned block_threads() const { return static_cast<unsigned>(vectors * rows); }
  unsigned grid(index_t frames) const { return static_cast<unsigned>(frames * parts * chunks); }
};

/// The moments of one channel over a part of a frame's pixels.
struct ChannelMoments {
  float count, mean, deviations;
};

template <class InType, int vector_elements>
struct ChannelMomentsPolicy {
  using In = InType;
  static constexpr int vector = vector_elements;
};

template <class In>
struct ChannelMomentsParams {
  const In* in;
  GroupNormTiling tiling;
  ChannelMoments* moments;  ///< (frames, parts, channels)
};

/// Where a thread of a (frames x parts x chunks) grid works.
struct GroupNormPlace {
  index_t frame, part, first_pixel, end_pixel;
  int channel, row;

  static __device__ GroupNormPlace of(const GroupNormTiling& tiling, unsigned block, int vector) {
    const unsigned chunk = block % tiling.chunks, slice = block / tiling.chunks;
    const auto parts = static_cast<unsigned>(tiling.parts);
    const unsigned frame = slice / parts, part = slice % parts, row = threadIdx.x / tiling.vectors;
    const index_t first = part * tiling.part_pixels, end = first + tiling.part_pixels;
    return {frame,
            part,
            first,
            end < tiling.pixels ? end : tiling.pixels,
            static_cast<int>((chunk * tiling.vectors + threadIdx.x % tiling.vectors) * vector),
            static_cast<int>(row)};
  }
};

/// Each thread follows its channels down the part with Welford's update, whose digits do not depend on where
/// the values lie; the rows of a block are merged in order.
template <class Policy>
__global__ void __launch_bounds__(GroupNormTiling::threads)
    channel_moments_kernel(ChannelMomentsParams<typename Policy::In> params) {
  using In = typename Policy::In;
  constexpr int vector = Policy::vector, in_flight = GroupNormTiling::pixels_in_flight;
  __shared__ float shared_means[GroupNormTiling::threads * vector],
      shared_deviations[GroupNormTiling::threads * vector];
  const GroupNormTiling& tiling = params.tiling;
  const auto at = GroupNormPlace::of(tiling, blockIdx.x, vector);
  const bool has_channels = at.channel < tiling.channels;
  const In* frame = params.in + at.frame * tiling.pixels * tiling.channels + at.channel;

  float means[vector] = {}, deviations[vector] = {}, count = 0;
  const auto add = [&](const Pack<In, vector>& pack) {
    float values[vector];
    widen_words(pack, values);
    count += 1;
    const float share = fast_divide(1.0f, count);
#pragma unroll
    for (int i = 0; i < vector; ++i) {
      const float from_old = values[i] - means[i];
      means[i] += from_old * share;
      deviations[i] += from_old * (values[i] - means[i]);
    }
  };
  if (has_channels) {
    index_t pixel = at.first_pixel + at.row;
    const index_t stride = tiling.rows, ahead = (in_flight - 1) * stride;
    for (; pixel + ahead < at.end_pixel; pixel += in_flight * stride) {
      Pack<In, vector> packs[in_flight];
#pragma unroll
      for (int i = 0; i < in_flight; ++i)
        packs[i] = load_pack<vector>(frame + (pixel + i * stride) * tiling.channels);
#pragma unroll
      for (const auto& pack : packs) add(pack);
    }
    for (; pixel < at.end_pixel; pixel += stride) add(load_pack<vector>(frame + pixel * tiling.channels));
  }
#pragma unroll
  for (int i = 0; i < vector; ++i) {
    shared_means[threadIdx.x * vector + i] = means[i];
    shared_deviations[threadIdx.x * vector + i] = deviations[i];
  }
  __syncthreads();

  // (rows, channels of the block)
  const int block_channels = tiling.vectors * vector;
  const int part_pixels = static_cast<int>(at.end_pixel - at.first_pixel);
  const index_t first_channel = at.channel - threadIdx.x % tiling.vectors * vector;
  ChannelMoments* result =
      params.moments + (at.frame * tiling.parts + at.part) * tiling.channels + first_channel;
  for (int c = threadIdx.x; c < block_channels && first_channel + c < tiling.channels; c += blockDim.x) {
    Moments merged;
    for (int row = 0; row < tiling.rows && row < part_pixels; ++row) {
      const int row_pixels = part_pixels / tiling.rows + (row < part_pixels % tiling.rows ? 1 : 0);
      merged.merge({static_cast<double>(row_pixels), shared_means[row * block_channels + c],
                    shared_deviations[row * block_channels + c]});
    }
    result[c] = {static_cast<float>(merged.count), static_cast<float>(merged.mean),
                 static_cast<float>(merged.deviations)};
  }
}

/// What a channel of a frame is normalised with: (value - mean) scale + shift.
struct ChannelScale {
  float mean, scale;
};

template <class WeightType>
struct GroupScalesPolicy {
  using Weight = WeightType;
  static constexpr int threads = 128;
};

template <class Weight>
struct GroupScalesParams {
  const ChannelMoments* moments;  ///< (frames, parts, channels)
  VectorView<const Weight> weight;
  index_t parts, groups;
  float epsilon;
  ChannelScale* scales;  ///< (frames, channels)
};

/// A block merges the moments of one group of one frame.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    group_scales_kernel(GroupScalesParams<typename Policy::Weight> params) {
  using Reduce = cub::BlockReduce<Moments, Policy::threads>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ double mean, variance;
  const index_t channels = params.weight.size, group_channels = channels / params.groups;
  const index_t frame = blockIdx.x / params.groups, group = blockIdx.x % params.groups;
  const ChannelMoments* moments = params.moments + frame * params.parts * channels + group * group_channels;

  Moments merged;
  for (index_t i = threadIdx.x; i < params.parts * group_channels; i += Policy::threads) {
    const ChannelMoments m = moments[i / group_channels * channels + i % group_channels];
    merged.merge({m.count, m.mean, m.deviations});
  }
  const Moments total = Reduce(storage).Reduce(merged, [](Moments a, const Moments& b) {
    a.merge(b);
    return a;
  });
  if (threadIdx.x == 0) mean = total.mean, variance = total.variance();
  __syncthreads();
  const double scale = 1.0 / sqrt(variance + static_cast<double>(params.epsilon));
  for (index_t c = group * group_channels + threadIdx.x; c < (group + 1) * group_channels;
       c += Policy::threads)
    params.scales[frame * channels + c] = {
        static_cast<float>(mean), static_cast<float>(scale * static_cast<double>(float(params.weight[c])))};
}

template <class InType, class WeightType, class OutType, class EpilogueType, int vector_elements>
struct ScalePixelsPolicy {
  using In = InType;
  using Weight = WeightType;
  using Out = OutType;
  using Epilogue = EpilogueType;
  static constexpr int vector = vector_elements;
};

template <class Policy>
struct ScalePixelsParams {
  const typename Policy::In* in;
  const ChannelScale* scales;  ///< (frames, channels)
  VectorView<const typename Policy::Weight> bias;
  typename Policy::Out* out;
  GroupNormTiling tiling;
  typename Policy::Epilogue epilogue;
};

template <class Policy>
__global__ void __launch_bounds__(GroupNormTiling::threads)
    scale_pixels_kernel(ScalePixelsParams<Policy> params) {
  using In = typename Policy::In;
  using Out = typename Policy::Out;
  constexpr int vector = Policy::vector, in_flight = GroupNormTiling::pixels_in_flight;
  const GroupNormTiling& tiling = params.tiling;
  // Backwards: the moments' last reads are still in the cache.
  const auto at = GroupNormPlace::of(tiling, gridDim.x - 1 - blockIdx.x, vector);
  if (at.channel >= tiling.channels) return;

  float means[vector], scales[vector], shifts[vector];
#pragma unroll
  for (int i = 0; i < vector; ++i) {
    const ChannelScale scale = params.scales[at.frame * tiling.channels + at.channel + i];
    means[i] = scale.mean, scales[i] = scale.scale, shifts[i] = float(params.bias[at.channel + i]);
  }
  const index_t frame_at = at.frame * tiling.pixels;
  const auto scale = [&](const Pack<In, vector>& pack, index_t pixel) {
    const auto finish = params.epilogue.row(frame_at + pixel);
    float values[vector];
    widen_words(pack, values);
#pragma unroll
    for (int i = 0; i < vector; ++i)
      values[i] = finish((values[i] - means[i]) * scales[i] + shifts[i], index_t{at.channel + i});
    store_pack_once(params.out + (frame_at + pixel) * tiling.channels + at.channel, round_words<Out>(values));
  };
  const auto load = [&](index_t pixel) {
    return load_pack_once<vector>(params.in + (frame_at + pixel) * tiling.channels + at.channel);
  };
  index_t pixel = at.first_pixel + at.row;
  const index_t stride = tiling.rows, ahead = (in_flight - 1) * stride;
  for (; pixel + ahead < at.end_pixel; pixel += in_flight * stride) {
    Pack<In, vector> packs[in_flight];
#pragma unroll
    for (int i = 0; i < in_flight; ++i) packs[i] = load(pixel + i * stride);
#pragma unroll
    for (int i = 0; i < in_flight; ++i) scale(packs[i], pixel + i * stride);
  }
  for (; pixel < at.end_pixel; pixel += stride) scale(load(pixel), pixel);
}

/// Bytes of workspace that group_norm asks for on the GPU: moments of every part and channel, and the scales.
template <class In>
std::size_t group_norm_workspace(Device, const VideoView<In>& in) {
  const auto tiling = GroupNormTiling::of(in, 1);
  return workspace_bytes<ChannelMoments>(in.frames * tiling.parts * in.channels) +
         workspace_bytes<ChannelScale>(in.frames * in.channels);
}

/// See the host's: same shapes, same errors. Runs on device.stream; `workspace` has at least
/// group_norm_workspace(device, in) bytes of the GPU's memory.
template <class In, class Weight, Element Out, Epilogue E>
void group_norm(Device device, VideoView<In> in, VectorView<Weight> weight, VectorView<Weight> bias,
                index_t groups, float epsilon, const E& epilogue, VideoView<Out> out, Workspace workspace) {
  require_group_norm_shapes(in, weight.size, bias.size, groups, out);
  epilogue.require_fits(out.pixels(), out.channels);
  using Input = std::remove_const_t<In>;
  using Weights = std::remove_const_t<Weight>;
  if (in.pixels() == 0) return;
  const auto run = [&]<int vector>(std::integral_constant<int, vector>) {
    const auto tiling = GroupNormTiling::of(in, vector);
    auto* moments = workspace.template take<ChannelMoments>(in.frames * tiling.parts * in.channels);
    auto* scales = workspace.template take<ChannelScale>(in.frames * in.channels);
    const Launch over_pixels{
        .grid = tiling.grid(in.frames), .block = tiling.block_threads(), .stream = device.stream};
    launch(over_pixels, channel_moments_kernel<ChannelMomentsPolicy<Input, vector>>,
           ChannelMomentsParams<Input>{in.data, tiling, moments});
    launch({.grid = static_cast<unsigned>(in.frames * groups),
            .block = GroupScalesPolicy<Weights>::threads,
            .stream = device.stream},
           group_scales_kernel<GroupScalesPolicy<Weights>>,
           GroupScalesParams<Weights>{moments, weight, tiling.parts, groups, epsilon, scales});
    using Apply = ScalePixelsPolicy<Input, Weights, Out, E, vector>;
    launch(over_pixels, scale_pixels_kernel<Apply>,
           ScalePixelsParams<Apply>{in.data, scales, bias, out.data, tiling, epilogue});
  };
  constexpr int widest = 8;
  if (packs_fit<widest>(in.data, in.channels) && packs_fit<widest>(out.data)) {
    run(std::integral_constant<int, widest>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

}  // namespace stepvideo
