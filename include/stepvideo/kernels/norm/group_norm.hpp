// GroupNorm of a channels-last video, with statistics of each frame alone, and an epilogue (an activation,
// say) on the way out.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/moments.hpp>
#include <stepvideo/kernels/tile/simd.hpp>

namespace stepvideo {

/// How the host splits a frame. Fixed, so that sums have one order for any number of threads.
struct GroupNormPolicy {
  static constexpr index_t parts = 32;             ///< runs of pixels whose statistics are merged in order
  static constexpr index_t block_elements = 8192;  ///< of a run that is read twice: 32 KB stay in the cache
  /// Elements from which a frame is shared by all threads; below, each thread has frames of its own.
  static constexpr index_t shared_frame_elements = 1 << 18;
  static constexpr index_t max_groups = 64, max_channels = 8192;
};

/// What group_norm requires of its views, on any execution. Throws RequestError naming the one that
/// disagrees.
template <class In, class Weight, class Out>
void require_group_norm_shapes(const VideoView<In>& in, const VectorView<Weight>& weight,
                               const VectorView<Weight>& bias, index_t groups, const VideoView<Out>& out) {
  using Policy = GroupNormPolicy;
  require(groups >= 1 && groups <= Policy::max_groups && in.channels > 0 && in.channels % groups == 0 &&
              in.channels <= Policy::max_channels,
          [&] {
            return "group_norm: " + std::to_string(in.channels) + " channels in " + std::to_string(groups) +
                   " groups are not built; 1 to " + std::to_string(Policy::max_channels) +
                   " channels in up to " + std::to_string(Policy::max_groups) + " groups of one size are";
          });
  require(weight.size == in.channels && bias.size == in.channels, [&] {
    return "group_norm: weight has " + std::to_string(weight.size) + " elements and bias " +
           std::to_string(bias.size) + "; in has " + std::to_string(in.channels) +
           " channels and needs as many of each";
  });
  require(in.frames == out.frames && in.height == out.height && in.width == out.width &&
              in.channels == out.channels,
          [] { return "group_norm: in and out have different shapes; they must have the same"; });
  require_data("group_norm", "in", in);
  require_data("group_norm", "weight", weight);
  require_data("group_norm", "bias", bias);
  require_data("group_norm", "out", out);
}

}  // namespace stepvideo

namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Merges the moments of `pixels` rows of `channels` elements into those of the groups.
template <class T>
void add_group_moments(const T* rows, index_t pixels, index_t channels, index_t groups, Moments* moments) {
  const index_t block_pixels = std::max<index_t>(1, GroupNormPolicy::block_elements / channels);
  const index_t group_channels = channels / groups;
  for (index_t first = 0; first < pixels; first += block_pixels) {
    const index_t count = std::min(block_pixels, pixels - first);
    for (index_t channel = 0; channel < channels; channel += simd_floats) {
      const int lanes = static_cast<int>(std::min<index_t>(simd_floats, channels - channel));
      const ColumnMoments columns = column_moments(rows + first * channels + channel, count, channels, lanes);
      for (int lane = 0; lane < lanes; ++lane)
        moments[(channel + lane) / group_channels].merge(columns.of(lane, count));
    }
  }
}

/// What a frame's channels are normalised with: (value - mean) scale + shift.
struct FrameScales {
  float means[GroupNormPolicy::max_channels], scales[GroupNormPolicy::max_channels],
      shifts[GroupNormPolicy::max_channels];
};

template <class In, class Weight>
void measure_frame(const In* frame, index_t pixels, bool is_shared, VectorView<Weight> weight,
                   VectorView<Weight> bias, index_t groups, float epsilon, FrameScales& scales) {
  using Policy = GroupNormPolicy;
  const index_t channels = weight.size, part_pixels = (pixels + Policy::parts - 1) / Policy::parts;
  Moments parts[Policy::parts][Policy::max_groups];
#pragma omp parallel for schedule(static) if (is_shared)
  for (index_t part = 0; part < Policy::parts; ++part) {
    std::fill_n(parts[part], groups, Moments{});
    const index_t first = std::min(pixels, part * part_pixels);
    add_group_moments(frame + first * channels, std::min(part_pixels, pixels - first), channels, groups,
                      parts[part]);
  }
  for (index_t group = 0; group < groups; ++group) {
    Moments moments = parts[0][group];
    for (index_t part = 1; part < Policy::parts; ++part) moments.merge(parts[part][group]);
    const double scale = 1.0 / std::sqrt(moments.variance() + static_cast<double>(epsilon));
    for (index_t c = group * (channels / groups); c < (group + 1) * (channels / groups); ++c) {
      scales.means[c] = static_cast<float>(moments.mean);
      scales.scales[c] = static_cast<float>(scale * static_cast<double>(float(weight[c])));
      scales.shifts[c] = float(bias[c]);
    }
  }
}

template <class In, class Out, Epilogue Finish>
void scale_pixels(const VideoView<In>& in, index_t first, index_t pixels, bool is_shared,
                  const FrameScales& scales, const Finish& epilogue, const VideoView<Out>& out) {
  const index_t channels = in.channels;
#pragma omp parallel for schedule(static) if (is_shared)
  for (index_t pixel = first; pixel < first + pixels; ++pixel) {
    const auto finish = epilogue.row(pixel);
    const In* from = in.data + pixel * channels;
    Out* to = out.data + pixel * channels;
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
    for (index_t c = 0; c < channels; ++c)
      to[c] = Out(finish((float(from[c]) - scales.means[c]) * scales.scales[c] + scales.shifts[c], c));
  }
}

}  // namespace stepvideo::norm_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Bytes of workspace that group_norm asks for: none on the host.
template <class In>
constexpr std::size_t group_norm_workspace(Host, const VideoView<In>&) {
  return 0;
}

/// out = epilogue((in - mean) / sqrt(variance + epsilon) weight + bias), mean and (biased) variance over a
/// frame's pixels and a group's channels. (frames, height, width, channels); `groups` equal runs of channels;
/// the epilogue sees (pixels, channels): Activate<Silu>{}. In float32, statistics merged in double. in may be
/// out itself; in, weights and out may differ in their elements. Throws RequestError where shapes disagree.
template <class In, class Weight, HostElement Out, Epilogue Finish>
requires HostElement<std::remove_const_t<In>> && HostElement<std::remove_const_t<Weight>>
void group_norm(Host, VideoView<In> in, VectorView<Weight> weight, VectorView<Weight> bias, index_t groups,
                float epsilon, const Finish& epilogue, VideoView<Out> out, Workspace = {}) {
  require_group_norm_shapes(in, weight, bias, groups, out);
  epilogue.require_fits(out.pixels(), out.channels);
  const index_t pixels = in.height * in.width;
  if (pixels == 0) return;
  const bool is_shared = pixels * in.channels >= GroupNormPolicy::shared_frame_elements;
#pragma omp parallel for schedule(static) if (!is_shared)
  for (index_t frame = 0; frame < in.frames; ++frame) {
    norm_detail::FrameScales scales;
    norm_detail::measure_frame(in.pixel(frame, 0, 0), pixels, is_shared, weight, bias, groups, epsilon,
                               scales);
    norm_detail::scale_pixels(in, frame * pixels, pixels, is_shared, scales, epilogue, out);
  }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct GroupNorm;

template <class E, class In, class Weight, class Bias, class Finish, class Out>
inline constexpr Mistake group_norm_mistake = first_of(
    {execution_mistake<E, GroupNorm>, result_mistake<E, VideoView, Out>,
     any_operand_mistake<E, VideoView, In>, any_operand_mistake<E, VectorView, Weight>,
     any_operand_mistake<E, VectorView, Bias>, Epilogue<Finish> ? Mistake::none : Mistake::no_epilogue});
}  // namespace calls

/// Every call of group_norm that cannot be, to say why.
template <class E, class In, class Weight, class Bias, class Finish, class Out>
requires calls::Mistaken<calls::group_norm_mistake<E, In, Weight, Bias, Finish, Out>, E>
void group_norm(const E&, const In&, const Weight&, const Bias&, index_t, float, const Finish&, const Out&,
                Workspace = {}) {
  constexpr auto mistake = calls::group_norm_mistake<E, In, Weight, Bias, Finish, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "group_norm on a Device is in <stepvideo/kernels/norm/group_norm.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, In, Weight, Bias, Finish, Out>();
}

}  // namespace stepvideo
