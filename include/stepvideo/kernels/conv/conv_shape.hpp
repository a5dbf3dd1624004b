// What a convolution of the video VAE is: its weight's extents, and along each axis its taps, stride and
// zeros.
#pragma once
#include <array>
#include <functional>
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
  return extents_text(
      {shape.out_channels, shape.in_channels, shape.kernel_frames, shape.kernel_height, shape.kernel_width});
}

/// What a convolution's input is before it is convolved.
enum class ConvForm {
  plain,
  /// Every frame, row and column twice (a 2D weight: rows and columns), nearest neighbour. The doubled video
  /// is never made: each output place of two by two by two has a weight of its own, with the taps summed that
  /// meet the same input, 2 x 2 x 2 instead of 3 x 3 x 3.
  after_doubling
};

/// How a convolution samples its input. The first `skipped_frames` of the output are neither computed nor
/// stored. The first `past_frames` of the input are the video's own past, in place of as many zero frames in
/// front: a long video may be convolved in runs of frames, each behind the last two frames (after a doubling
/// the last one) of the run before. A convolution after a doubling has stride 1 and skips nothing.
struct ConvOptions {
  int stride = 1;
  int skipped_frames = 0;
  int past_frames = 0;
};

/// A convolution along one axis: output o reads inputs (o + skipped) stride + tap - front and is the result's
/// place first + o step.
struct ConvAxis {
  int taps = 1, stride = 1;
  int front = 0, back = 0;  ///< zeros before the first and after the last input
  int skipped = 0;
  int first = 0, step = 1;

  constexpr index_t outputs(index_t inputs) const {
    const index_t padded = inputs + front + back;
    return padded < taps ? 0 : (padded - taps) / stride + 1 - skipped;
  }
  /// The input under a tap, or -1 where that is one of the zeros.
  constexpr index_t source(index_t output, int tap, index_t inputs) const {
    const index_t position = (output + skipped) * stride + tap - front;
    return position < 0 || position >= inputs ? -1 : position;
  }
  constexpr index_t place(index_t output) const { return first + output * step; }
};

/// The taps of a kernel of three that one place of a doubled axis sums up for each of its two inputs. With u
/// the doubled axis and x what was doubled: causal, place 2s sees u[2s-2 .. 2s] = x[s-1], x[s-1], x[s] and
/// place 2s+1 sees x[s-1], x[s], x[s]; centred, 2s sees u[2s-1 .. 2s+1] = x[s-1], x[s], x[s] and 2s+1 sees
/// x[s], x[s], x[s+1]. A zero before or after u is one before or after x.
struct DoubledTaps {
  ConvAxis axis;
  int split = 1;  ///< the first input meets taps [0, split), the second [split, 3)

  static constexpr DoubledTaps causal(int place) {
    return {{.taps = 2, .front = 1, .first = place, .step = 2}, place == 0 ? 2 : 1};
  }
  static constexpr DoubledTaps centred(int place) {
    if (place == 0) return {{.taps = 2, .front = 1, .first = 0, .step = 2}, 1};
    return {{.taps = 2, .back = 1, .first = 1, .step = 2}, 2};
  }
};

struct ConvGeometry {
  ConvAxis frames, height, width;
};

/// Causal in time: kernel 3 has two frames in front, zeros but for those that are the past, and padding 1 in
/// space; kernel 1 has neither. The stride is that of all three axes.
constexpr ConvGeometry causal_geometry(const ConvShape& shape, const ConvOptions& options) {
  const auto axis = [&](int taps, int front) {
    return ConvAxis{.taps = taps, .stride = options.stride, .front = front, .back = taps - 1 - front};
  };
  ConvAxis frames = axis(shape.kernel_frames, shape.kernel_frames - 1);
  frames.skipped = options.skipped_frames;
  frames.front -= options.past_frames;
  return {frames, axis(shape.kernel_height, shape.kernel_height / 2),
          axis(shape.kernel_width, shape.kernel_width / 2)};
}

/// Each frame alone: padding 1 at stride 1; at stride 2 one zero row below and one zero column at the right.
constexpr ConvGeometry frame_geometry(const ConvShape& shape, const ConvOptions& options) {
  const auto axis = [&](int taps) {
    return ConvAxis{.taps = taps,
                    .stride = options.stride,
                    .front = options.stride == 1 ? taps / 2 : 0,
                    .back = taps / 2};
  };
  return {{}, axis(shape.kernel_height), axis(shape.kernel_width)};
}

/// The places of a result that have weights of their own: one, or after a doubling each of the 2 x 2 x 2 (in
/// 2D 2 x 2) that an input becomes, frames slowest.
template <ConvForm form>
struct ConvPlaces {
  static constexpr int of(const ConvShape& shape) {
    if constexpr (form == ConvForm::plain) {
      return 1;
    } else {
      return shape.kernel_frames == 1 ? 4 : 8;
    }
  }
  /// The extents of one place's weight.
  static constexpr ConvShape weight(const ConvShape& shape) {
    if constexpr (form == ConvForm::plain) {
      return shape;
    } else {
      return {shape.out_channels, shape.in_channels, shape.kernel_frames == 1 ? 1 : 2, 2, 2};
    }
  }
};

/// Place `place` of a doubling along the three axes; a 2D weight's frames are not doubled.
struct DoubledPlace {
  DoubledTaps frames, height, width;

  static constexpr DoubledPlace of(const ConvShape& shape, int place) {
    const DoubledTaps frames = shape.kernel_frames == 1 ? DoubledTaps{} : DoubledTaps::causal(place / 4);
    return {frames, DoubledTaps::centred(place / 2 % 2), DoubledTaps::centred(place % 2)};
  }
  constexpr ConvGeometry geometry(const ConvOptions& options) const {
    ConvGeometry result{frames.axis, height.axis, width.axis};
    result.frames.front -= options.past_frames;
    return result;
  }
};

/// Every place's geometry, of one weight.
struct PlaceGeometries {
  std::array<ConvGeometry, 8> of{};
  int count = 1;
};
template <ConvForm form>
PlaceGeometries place_geometries(const ConvShape& shape, const ConvGeometry& plain,
                                 const ConvOptions& options) {
  PlaceGeometries places{.count = ConvPlaces<form>::of(shape)};
  for (int place = 0; place < places.count; ++place) {
    if constexpr (form == ConvForm::plain) {
      places.of[place] = plain;
    } else {
      places.of[place] = DoubledPlace::of(shape, place).geometry(options);
    }
  }
  return places;
}

/// Throws RequestError unless the video has elements, and memory that holds them.
template <class T>
void require_video(const char* kernel, const char* name, const VideoView<T>& video) {
  const auto says = [&](const char* fact) {
    return std::string(kernel) + ": " + name + " is " + shape_text(video) + fact;
  };
  require(video.frames > 0 && video.height > 0 && video.width > 0 && video.channels > 0,
          [&] { return says("; every extent must be 1 or more"); });
  require(video.data != nullptr, [&] { return says(" without memory; its data must not be null"); });
}

/// Throws RequestError if the result would be written over what is still to be read.
template <class In, class Out>
void require_apart(const char* kernel, const VideoView<In>& in, const VideoView<Out>& out) {
  const auto *in_first = reinterpret_cast<const char*>(in.data),
             *in_last = reinterpret_cast<const char*>(in.data + in.size()),
             *out_first = reinterpret_cast<const char*>(out.data),
             *out_last = reinterpret_cast<const char*>(out.data + out.size());
  const std::less<const char*> before;
  require(!before(in_first, out_last) || !before(out_first, in_last), [&] {
    return std::string(kernel) + ": in " + shape_text(in) + " and out " + shape_text(out) +
           " overlap in memory; out needs memory of its own";
  });
}

/// What every convolution's weight must be, packed or not.
inline void require_conv_weight(const char* kernel, const ConvShape& shape, ConvForm form) {
  const auto says = [&](const char* fact) {
    return std::string(kernel) + ": the weight is " + to_string(shape) + fact;
  };
  const auto is_built = [](int taps) { return taps == 1 || taps == 3; };
  require(shape.out_channels > 0 && shape.in_channels > 0,
          [&] { return says("; every extent must be 1 or more"); });
  require(is_built(shape.kernel_frames) && is_built(shape.kernel_height) && is_built(shape.kernel_width),
          [&] { return says("; kernels of 1 and 3 are built"); });
  require(form == ConvForm::plain || (shape.kernel_height == 3 && shape.kernel_width == 3),
          [&] { return says("; after a doubling a kernel of 3 rows and 3 columns is built"); });
}

/// What every convolution requires of its views, on any execution. Throws RequestError naming what disagrees.
template <class In, class Out>
void require_conv_shapes(const char* kernel, const ConvShape& shape, ConvForm form,
                         const ConvOptions& options, const ConvGeometry& geometry, const VideoView<In>& in,
                         index_t bias_size, const VideoView<Out>& out) {
  const auto says = [&](const std::string& fact) { return std::string(kernel) + ": " + fact; };
  require_conv_weight(kernel, shape, form);
  require(options.stride == 1 || options.stride == 2,
          [&] { return says("stride " + std::to_string(options.stride) + " is not built; 1 and 2 are"); });
  require(options.skipped_frames >= 0, [&] {
    return says(std::to_string(options.skipped_frames) + " frames cannot be skipped; 0 or more can");
  });
  require(form == ConvForm::plain || (options.stride == 1 && options.skipped_frames == 0), [&] {
    return says("after a doubling, stride " + std::to_string(options.stride) + " with " +
                std::to_string(options.skipped_frames) + " skipped frames is not built; 1 with none is");
  });
  const int most_past = form == ConvForm::plain ? shape.kernel_frames - 1 : shape.kernel_frames / 2;
  require(options.past_frames >= 0 && options.past_frames <= most_past, [&] {
    return says("in begins with " + std::to_string(options.past_frames) + " frames of the past; from 0 to " +
                std::to_string(most_past) + " are read");
  });
  require(options.past_frames == 0 || options.stride == 1,
          [&] { return says("a past with stride 2 is not built; a past with stride 1 is"); });
  require_video(kernel, "in", in);
  require(in.channels == shape.in_channels && out.channels == shape.out_channels, [&] {
    return says("the weight is " + to_string(shape) + ", in " + shape_text(in) + " and out " +
                shape_text(out) + "; the weight's first two extents must be out's and in's channels");
  });
  require(bias_size == shape.out_channels, [&] {
    return says("bias has " + std::to_string(bias_size) + " elements and the weight is " + to_string(shape) +
                "; one element per output channel works");
  });
  const auto outputs = [](const ConvAxis& axis, index_t inputs) { return axis.step * axis.outputs(inputs); };
  const VideoView<Out> needed{nullptr, outputs(geometry.frames, in.frames),
                              outputs(geometry.height, in.height), outputs(geometry.width, in.width),
                              shape.out_channels};
  require(needed.frames > 0 && needed.height > 0 && needed.width > 0, [&] {
    return says("in is " + shape_text(in) +
                ", of which nothing would be left; it must be larger, or fewer "
                "frames skipped");
  });
  require(out.frames == needed.frames && out.height == needed.height && out.width == needed.width, [&] {
    return says("in is " + shape_text(in) + " and out " + shape_text(out) + "; out must be " +
                shape_text(needed));
  });
  require_video(kernel, "out", out);
  require_apart(kernel, in, out);
}

}  // namespace stepvideo
