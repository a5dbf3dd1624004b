// GroupNorm of a channels-last video on the GPU, behind the same call as on the CPU: one pass for the
// moments, one to apply them.
#pragma once

#include <cub/block/block_reduce.cuh>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/group_norm.hpp>
#include <stepvideo/kernels/norm/group_norm_tiling.cuh>
#include <stepvideo/kernels/tile/exp.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<GroupNorm, Device> = true;
}  // namespace calls

template <class InType, int vector_elements>
struct PartMomentsPolicy {
  using In = InType;
  static constexpr int vector = vector_elements;
};

template <class In>
struct PartMomentsParams {
  const In* in;
  GroupNormTiling tiling;
  int units;             ///< groups, or channels
  PartMoments* moments;  ///< (frames, parts, units)
};

/// Each thread follows its channels down the part with Welford's update, whose digits do not depend on where
/// the values lie; a block's rows and a group's channels are joined in order.
template <class Policy>
__global__ void __launch_bounds__(GroupNormTiling::threads, GroupNormTiling::moments_blocks)
    part_moments_kernel(PartMomentsParams<typename Policy::In> params) {
  using In = typename Policy::In;
  constexpr int vector = Policy::vector;
  __shared__ float shared_means[GroupNormTiling::threads * vector],
      shared_deviations[GroupNormTiling::threads * vector];
  const GroupNormTiling& tiling = params.tiling;
  const auto at = GroupNormPlace::of(tiling, blockIdx.x, vector);
  const In* frame = params.in + at.frame * tiling.pixels * tiling.channels + at.channel;

  float means[vector] = {}, deviations[vector] = {}, count = 0;
  const auto add = [&](const Pack<In, vector>& pack, index_t) {
    float values[vector];
    widen_pack(pack, values);
    count += 1;
    const float share = fast_divide(1.0f, count);
#pragma unroll
    for (int i = 0; i < vector; ++i) {
      const float from_old = values[i] - means[i];
      means[i] += from_old * share;
      deviations[i] += from_old * (values[i] - means[i]);
    }
  };
  if (at.has_work(tiling))
    at.for_each_pixel<GroupNormTiling::moments_in_flight>(
        tiling, [&](index_t pixel) { return load_pack<vector>(frame + pixel * tiling.channels); }, add);
#pragma unroll
  for (int i = 0; i < vector; ++i) {
    shared_means[threadIdx.x * vector + i] = means[i];
    shared_deviations[threadIdx.x * vector + i] = deviations[i];
  }
  __syncthreads();

  const int block_channels = tiling.vectors * vector,
            unit_channels = static_cast<int>(tiling.channels) / params.units;
  const int part_pixels = static_cast<int>(at.end_pixel - at.first_pixel);
  const int rows = min(tiling.rows, part_pixels), short_pixels = part_pixels / tiling.rows,
            long_rows = part_pixels % tiling.rows;  // these have a pixel more

  // The rows of a channel become one, then the channels of a unit. Every value is taken relative to one of
  // them, so that means far from zero keep their digits.
  for (int channel = threadIdx.x; channel < block_channels; channel += blockDim.x) {
    const auto each_row = [&](auto&& visit) {
      for (int row = 0; row < rows; ++row)
        visit(row * block_channels + channel, static_cast<float>(short_pixels + (row < long_rows ? 1 : 0)));
    };
    const float origin = shared_means[channel];
    float offset = 0, sum = 0;
    each_row([&](int i, float pixels) { offset += pixels * (shared_means[i] - origin); });
    offset /= static_cast<float>(part_pixels);
    each_row([&](int i, float pixels) {
      const float difference = shared_means[i] - origin - offset;
      sum += shared_deviations[i] + pixels * difference * difference;
    });
    shared_means[channel] = origin + offset, shared_deviations[channel] = sum;
  }
  __syncthreads();

  const int first_unit =
      (at.channel - static_cast<int>(threadIdx.x) % tiling.vectors * vector) / unit_channels;
  PartMoments* result = params.moments + (at.frame * tiling.parts + at.part) * params.units + first_unit;
  const int units = min(block_channels / unit_channels, params.units - first_unit);
  constexpr int lanes = 8;  // that join the channels of a unit
  using Lanes = LanesAllReduce<lanes>;
  __shared__ typename Lanes::Storage storage[GroupNormTiling::threads / lanes];
  const int lane = threadIdx.x % lanes, team = threadIdx.x / lanes, teams = blockDim.x / lanes;
  const float pixels = static_cast<float>(part_pixels), of_unit = static_cast<float>(unit_channels);
  for (int first = 0; first < units; first += teams) {
    const int unit = min(first + team, units - 1);
    const float* unit_means = shared_means + unit * unit_channels;
    const float* unit_deviations = shared_deviations + unit * unit_channels;
    const float origin = unit_means[0];
    float offset = 0, sum = 0;
    for (int c = lane; c < unit_channels; c += lanes) offset += unit_means[c] - origin;
    offset = Lanes::reduce(storage[team], offset, cuda::std::plus<>{}) / of_unit;
    for (int c = lane; c < unit_channels; c += lanes) {
      const float difference = unit_means[c] - origin - offset;
      sum += unit_deviations[c] + pixels * difference * difference;
    }
    sum = Lanes::reduce(storage[team], sum, cuda::std::plus<>{});
    if (lane == 0 && first + team < units) result[unit] = {pixels * of_unit, origin + offset, sum};
  }
}

template <class WeightType>
struct GroupScalesPolicy {
  using Weight = WeightType;
  static constexpr int threads = 128;
};

template <class Weight>
struct GroupScalesParams {
  const PartMoments* moments;  ///< (frames, parts, units)
  VectorView<const Weight> weight;
  int parts, groups, units;
  float epsilon;
  ChannelScale* scales;  ///< (frames, channels)
};

/// A block joins the moments of one group of one frame.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    group_scales_kernel(GroupScalesParams<typename Policy::Weight> params) {
  using Reduce = cub::BlockReduce<double, Policy::threads>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ double shared_total;
  const int channels = static_cast<int>(params.weight.size), group_channels = channels / params.groups;
  const unsigned frame = blockIdx.x / params.groups, group = blockIdx.x % params.groups;
  const int group_units = params.units / params.groups;
  const PartMoments* moments =
      params.moments + index_t{frame} * params.parts * params.units + group * group_units;
  const auto each = [&](auto&& visit) {
#pragma unroll 4
    for (int i = threadIdx.x; i < params.parts * group_units; i += Policy::threads)
      visit(moments[index_t{i / group_units} * params.units + i % group_units]);
  };
  const auto total = [&](double of_thread) {
    const double sum = Reduce(storage).Sum(of_thread);
    if (threadIdx.x == 0) shared_total = sum;
    __syncthreads();
    return shared_total;
  };

  double count = 0, mean = 0, deviations = 0;
  each([&](const PartMoments& part) { count += part.count, mean += double{part.count} * part.mean; });
  count = total(count);
  __syncthreads();
  mean = total(mean) / count;
  each([&](const PartMoments& part) {
    const double difference = part.mean - mean;
    deviations += part.deviations + part.count * difference * difference;
  });
  __syncthreads();
  const double variance = total(deviations) / count;
  const double scale = 1.0 / sqrt(variance + static_cast<double>(params.epsilon));
  for (int c = static_cast<int>(group) * group_channels + threadIdx.x;
       c < static_cast<int>(group + 1) * group_channels; c += Policy::threads)
    params.scales[index_t{frame} * channels + c] = {
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
  constexpr int vector = Policy::vector;
  const GroupNormTiling& tiling = params.tiling;
  const auto at =
      GroupNormPlace::of_section(tiling, blockIdx.x, gridDim.x / GroupNormTiling::sections, vector);
  if (!at.has_work(tiling)) return;

  float means[vector], scales[vector], shifts[vector];
  const auto of_channels = load_pack<vector>(params.scales + at.frame * tiling.channels + at.channel);
  widen_pack(load_pack<vector>(params.bias.data + at.channel), shifts);
#pragma unroll
  for (int i = 0; i < vector; ++i)
    means[i] = of_channels.elements[i].mean, scales[i] = of_channels.elements[i].scale;
  const index_t frame_at = at.frame * tiling.pixels;
  const auto scale = [&](const Pack<In, vector>& pack, index_t pixel) {
    const auto finish = params.epilogue.row(frame_at + pixel);
    float values[vector];
    widen_pack(pack, values);
#pragma unroll
    for (int i = 0; i < vector; ++i)
      values[i] = finish((values[i] - means[i]) * scales[i] + shifts[i], index_t{at.channel + i});
    store_pack_once(params.out + (frame_at + pixel) * tiling.channels + at.channel, round_pack<Out>(values));
  };
  const auto load = [&](index_t pixel) {
    return load_pack_once<vector>(params.in + (frame_at + pixel) * tiling.channels + at.channel);
  };
  at.for_each_pixel<GroupNormTiling::scaling_in_flight>(tiling, load, scale);
}

namespace norm_detail {

/// The widest packs that rows of `in` and what goes with them move as, eight or one.
template <class In, class Weight, class Out, class Use>
void with_group_norm_vector(const VideoView<In>& in, const VectorView<Weight>& bias,
                            const VideoView<Out>& out, Use&& use) {
  constexpr int widest = 8;
  if (packs_fit<widest>(in.data, in.channels) && packs_fit<widest>(out.data) &&
      packs_fit<widest>(bias.data)) {
    use(std::integral_constant<int, widest>{});
  } else {
    use(std::integral_constant<int, 1>{});
  }
}

/// The moments of every part, in the workspace.
template <int vector, class In>
PartMomentsView part_moments(Device device, VideoView<const In> in, index_t groups, Workspace& workspace) {
  const auto tiling = GroupNormTiling::of(in, vector);
  const index_t units = tiling.units(groups);
  const PartMomentsView moments{workspace.template take<PartMoments>(in.frames * tiling.parts * units),
                                in.frames, tiling.parts, units};
  launch({.grid = grid_blocks("group_norm", tiling.blocks(in.frames)),
          .block = tiling.block_threads(),
          .stream = device.stream},
         part_moments_kernel<PartMomentsPolicy<In, vector>>,
         PartMomentsParams<In>{in.data, tiling, static_cast<int>(units), moments.data});
  return moments;
}

/// What comes after the moments.
template <int vector, class In, class Weight, class Out, class Finish>
void normalize(Device device, VideoView<const In> in, const PartMomentsView& moments,
               VectorView<const Weight> weight, VectorView<const Weight> bias, index_t groups, float epsilon,
               const Finish& epilogue, VideoView<Out> out, Workspace workspace) {
  auto* scales = workspace.template take<ChannelScale>(in.frames * in.channels);
  launch(
      {.grid = grid_blocks("group_norm", in.frames * groups),
       .block = GroupScalesPolicy<Weight>::threads,
       .stream = device.stream},
      group_scales_kernel<GroupScalesPolicy<Weight>>,
      GroupScalesParams<Weight>{moments.data, weight, static_cast<int>(moments.parts),
                                static_cast<int>(groups), static_cast<int>(moments.units), epsilon, scales});
  const auto tiling = GroupNormTiling::of(in, vector);
  using Apply = ScalePixelsPolicy<In, Weight, Out, Finish, vector>;
  launch({.grid = grid_blocks("group_norm", tiling.blocks(in.frames) * GroupNormTiling::sections),
          .block = tiling.block_threads(),
          .stream = device.stream},
         scale_pixels_kernel<Apply>,
         ScalePixelsParams<Apply>{in.data, scales, bias, out.data, tiling, epilogue});
}

}  // namespace norm_detail

/// See the host's: same shapes, same errors. Runs on device.stream; `workspace` has at least
/// group_norm_workspace(device, in) bytes of the GPU's memory. `moments` of `in`, where a kernel has left
/// some, whose units are the groups or parts of them, save the pass that makes them.
template <class In, class Weight, Element Out, Epilogue Finish>
void group_norm(Device device, VideoView<In> in, VectorView<Weight> weight, VectorView<Weight> bias,
                index_t groups, float epsilon, const Finish& epilogue, VideoView<Out> out,
                Workspace workspace, const PartMomentsView& moments = {}) {
  require_group_norm_shapes(in, weight, bias, groups, out);
  epilogue.require_fits(out.pixels(), out.channels);
  require(moments.data == nullptr || (moments.frames == in.frames && moments.units % groups == 0), [&] {
    return "group_norm: in is " + shape_text(in) + " in " + std::to_string(groups) +
           " groups and its moments " + shape_text(moments) +
           "; they must have its frames, and a multiple of the groups as units";
  });
  if (in.size() == 0) return;
  using Input = std::remove_const_t<In>;
  using Weights = std::remove_const_t<Weight>;
  norm_detail::with_group_norm_vector(in, bias, out, [&]<int vector>(std::integral_constant<int, vector>) {
    const VideoView<const Input> from = in;
    const PartMomentsView made = moments.data != nullptr
                                     ? moments
                                     : norm_detail::part_moments<vector>(device, from, groups, workspace);
    norm_detail::normalize<vector, Input, Weights>(device, from, made, weight, bias, groups, epsilon,
                                                   epilogue, out, workspace);
  });
}

}  // namespace stepvideo
