// What a convolution of the video VAE is: its weight's extents, and along each axis its taps, stride and
// zeros.
#pragma once
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// Extents of a convolution's weight, in the checkpoint's order; a 2D weight has kernel_frames 1.
struct ConvShape {
  index_t out_channels = 0, in_channels = 0;
  int kernel_frames = 1, kernel_height = 1, kernel_width = 1;

  constexpr int taps() const { return kernel_frames * kernel_height * kernel_width; }
  /// Elements of the checkpoint's tensor.
  constexpr index_t elements() const { return out_channels * in_channels * taps(); }
  constexpr bool operator==(const ConvShape&) const = default;
};

inline std::string to_string(const ConvShape& shape) {
  return std::string("(") + std::to_string(shape.out_channels) + ", " + std::to_string(shape.in_channels) +
         ", " + std::to_string(shape.kernel_frames) + ", " + std::to_string(shape.kernel_height) + ", " +
         std::to_string(shape.kernel_width) + ")";
}

/// How a convolution samples its input. `upsample_*` first repeats every frame (every row and column) that
/// many times, nearest neighbour, without storing the repeated video. The first `skipped_frames` of the
/// output are neither computed nor stored.
struct ConvOptions {
  int stride = 1;
  int upsample_frames = 1, upsample_space = 1;
  int skipped_frames = 0;
};

/// A convolution along one axis: output o reads inputs ((o + skipped) stride + tap - front) / upsample.
struct ConvAxis {
  int taps = 1, stride = 1;
  int front = 0, back = 0;  ///< zeros before the first and after the last input
  int upsample = 1;
  int skipped = 0;

  constexpr index_t outputs(index_t inputs) const {
    const index_t padded = inputs * upsample + front + back;
    return padded < taps ? 0 : (padded - taps) / stride + 1 - skipped;
  }
  /// The input under a tap, or -1 where that is one of the zeros.
  constexpr index_t source(index_t output, int tap, index_t inputs) const {
    const index_t position = (output + skipped) * stride + tap - front;
    return position < 0 || position >= inputs * upsample ? -1 : position / upsample;
  }
};

struct ConvGeometry {
  ConvAxis frames, height, width;
};

/// Causal in time: kernel 3 has two zero frames in front and padding 1 in space, kernel 1 has neither.
/// The stride is that of all three axes.
constexpr ConvGeometry causal_geometry(const ConvShape& shape, const ConvOptions& options) {
  const auto axis = [&](int taps, int front, int upsample) {
    return ConvAxis{taps, options.stride, front, taps - 1 - front, upsample};
  };
  ConvAxis frames = axis(shape.kernel_frames, shape.kernel_frames - 1, options.upsample_frames);
  frames.skipped = options.skipped_frames;
  return {frames, axis(shape.kernel_height, shape.kernel_height / 2, options.upsample_space),
          axis(shape.kernel_width, shape.kernel_width / 2, options.upsample_space)};
}

/// Each frame alone: padding 1 at stride 1; at stride 2 one zero row below and one zero column at the right.
constexpr ConvGeometry frame_geometry(const ConvShape& shape, const ConvOptions& options) {
  const auto axis = [&](int taps) {
    return options.stride == 1 ? ConvAxis{taps, 1, taps / 2, taps / 2, options.upsample_space}
                               : ConvAxis{taps, options.stride, 0, taps / 2, options.upsample_space};
  };
  return {{}, axis(shape.kernel_height), axis(shape.kernel_width)};
}

/// What every convolution requires of its views, on any execution. Throws RequestError naming what disagrees.
template <class In, class Out>
void require_conv_shapes(const char* name, const ConvShape& shape, const ConvOptions& options,
                         const ConvGeometry& geometry, const VideoView<In>& in, index_t bias_size,
                         const VideoView<Out>& out) {
  const auto says = [&](const std::string& fact) { return std::string(name) + ": " + fact; };
  const auto is_built = [](int taps) { return taps == 1 || taps == 3; };
  require(is_built(shape.kernel_frames) && is_built(shape.kernel_height) && is_built(shape.kernel_width),
          [&] { return says("the weight is " + to_string(shape) + "; kernels of 1 and 3 are built"); });
  require(options.stride == 1 || options.stride == 2,
          [&] { return says("stride " + std::to_string(options.stride) + " is not built; 1 and 2 are"); });
  require(in.channels == shape.in_channels && out.channels == shape.out_channels, [&] {
    return says("the weight is " + to_string(shape) + ", in " + shape_text(in) + " and out " + shape_text(out) +
                "; the weight's first two extents must be out's and in's channels");
  });
  require(bias_size == shape.out_channels, [&] {
    return says("bias has " + std::to_string(bias_size) + " elements and the weight is " + to_string(shape) +
                "; one element per output channel works");
  });
  const VideoView<Out> needed{nullptr, geometry.frames.outputs(in.frames), geometry.height.outputs(in.height),
                              geometry.width.outputs(in.width), shape.out_channels};
  require(out.frames == needed.frames && out.height == needed.height && out.width == needed.width, [&] {
    return says("in is " + shape_text(in) + " and out " + shape_text(out) + "; out must be " +
                shape_text(needed));
  });
}

}  // namespace stepvideo
