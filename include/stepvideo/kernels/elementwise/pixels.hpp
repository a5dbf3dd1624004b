// Decoded frames on their way into a file: the seam between two runs of frames, and pixels as files hold
// them.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// Frames as bytes, one behind the other: (frames, frame_bytes), dense. A mark says of each whether it came
/// of a NaN or an infinity.
template <class Byte>
struct PixelFrames {
  Byte* data = nullptr;
  index_t frames = 0, height = 0, width = 0, frame_bytes = 0;
  Byte* marks = nullptr;  ///< (frames)

  constexpr index_t size() const { return frames * frame_bytes; }
  constexpr Byte* frame(index_t i) const { return data + i * frame_bytes; }
  /// The frames [first, first + count).
  constexpr PixelFrames frames_from(index_t first, index_t count) const {
    return {frame(first), count, height, width, frame_bytes, marks + first};
  }
  template <AddsConst<Byte> U>
  constexpr operator PixelFrames<U>() const {
    return {data, frames, height, width, frame_bytes, marks};
  }
};

// Arithmetic that every execution rounds alike: no product is left for a compiler to contract.

namespace elementwise_detail {

/// NaN becomes -1.
constexpr float within_range(float value) {
  const float from_below = value > -1.0f ? value : -1.0f;
  return from_below < 1.0f ? from_below : 1.0f;
}
constexpr bool is_non_finite(float value) {
  constexpr std::uint32_t exponent = 0x7F80'0000u;
  return (std::bit_cast<std::uint32_t>(value) & exponent) == exponent;
}
/// To the nearest, halves to even: of a value in [0, 255].
constexpr std::uint8_t rounded_to_even(float value) {
  return static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(value + 0x1.8p23f));
}
/// To the nearest, halves up.
constexpr std::uint8_t rounded_up(float value) {
  const int whole = static_cast<int>(value);
  return static_cast<std::uint8_t>(whole + (value >= static_cast<float>(whole) + 0.5f ? 1 : 0));
}

}  // namespace elementwise_detail

/// The weights of red and blue in the luma; green has the rest.
struct YuvMatrix {
  float red = 0, blue = 0;

  static constexpr YuvMatrix bt601() { return {0.299f, 0.114f}; }
  static constexpr YuvMatrix bt709() { return {0.2126f, 0.0722f}; }

  struct Colour {
    float luma, towards_blue, towards_red;
  };
  /// Limited range, luma 16 to 235, colour 16 to 240 around 128, before rounding; of RGB.
  constexpr Colour operator()(const float* rgb) const {
    using elementwise_detail::within_range;
    const float r = (within_range(rgb[0]) + 1.0f) * 0.5f, g = (within_range(rgb[1]) + 1.0f) * 0.5f,
                b = (within_range(rgb[2]) + 1.0f) * 0.5f;
    const float light = std::fma(blue, b, std::fma(red, r, (1.0f - red - blue) * g));
    return {std::fma(219.0f, light, 16.0f), 128.0f + 224.0f * (b - light) / (2.0f * (1.0f - blue)),
            128.0f + 224.0f * (r - light) / (2.0f * (1.0f - red))};
  }
  bool operator==(const YuvMatrix&) const = default;
};

/// Some cells, side by side in a frame: where the first one's first sample lies.
struct CellPlace {
  index_t height, width;  ///< of the frame, in samples
  index_t row, column;
};

// Layouts: what a frame's pixels, RGB in [-1, 1], become. Each works on cells of `cell` x `cell` samples, so
// many at a time as its caller likes; a sample is a pixel of 3 `channels`, or a value where a layout keeps
// values apart. put(values, place, frame, store) makes bytes of values[cell][cell x cells x channels] and
// calls store(target, elements, count) for each run of neighbours, of which the first `count` are in the
// frame.

/// The floats as they are: (height, width, 3).
struct FloatPixels {
  static constexpr int cell = 1, channels = 1;

  constexpr index_t frame_bytes(index_t height, index_t width) const {
    return height * width * 3 * index_t{sizeof(float)};
  }
  template <int count, class Store>
  constexpr void put(const float (&values)[1][count], const CellPlace& at, std::uint8_t* frame,
                     const Store& store) const {
    store(reinterpret_cast<float*>(frame) + at.row * at.width + at.column, values[0], at.width - at.column);
  }
  bool operator==(const FloatPixels&) const = default;
};

/// 8 bits a channel: (height, width, 3), (x + 1) x 127.5 of x clamped to [-1, 1].
struct RgbPixels {
  static constexpr int cell = 1, channels = 1;

  constexpr index_t frame_bytes(index_t height, index_t width) const { return height * width * 3; }
  template <int count, class Store>
  constexpr void put(const float (&values)[1][count], const CellPlace& at, std::uint8_t* frame,
                     const Store& store) const {
    using namespace elementwise_detail;
    std::uint8_t levels[count];
    for (int i = 0; i < count; ++i) levels[i] = rounded_up((within_range(values[0][i]) + 1.0f) * 127.5f);
    store(frame + at.row * at.width + at.column, levels, at.width - at.column);
  }
  bool operator==(const RgbPixels&) const = default;
};

/// 8 bits in limited range in three planes, Y, Cb and Cr, with a colour for each cell, the mean of its
/// pixels': 4:4:4 or, with cells of 2 x 2, 4:2:0. The last column or row stands for one that is missing.
template <int cell_extent>
struct YuvPixels {
  static constexpr int cell = cell_extent, channels = 3;
  YuvMatrix matrix = YuvMatrix::bt601();

  static constexpr index_t cells(index_t extent) { return (extent + cell - 1) / cell; }
  constexpr index_t frame_bytes(index_t height, index_t width) const {
    return height * width + 2 * cells(height) * cells(width);
  }
  template <int count, class Store>
  constexpr void put(const float (&values)[cell][count], const CellPlace& at, std::uint8_t* frame,
                     const Store& store) const {
    using elementwise_detail::rounded_to_even;
    constexpr int columns = count / 3;
    std::uint8_t luma[cell][columns], towards_blue[columns / cell], towards_red[columns / cell];
    float blue[cell][columns], red[cell][columns];
    for (int y = 0; y < cell; ++y)
      for (int x = 0; x < columns; ++x) {
        const YuvMatrix::Colour colour = matrix(values[y] + 3 * x);
        luma[y][x] = rounded_to_even(colour.luma);
        blue[y][x] = colour.towards_blue;
        red[y][x] = colour.towards_red;
      }
    const auto mean = [](const float(&of)[cell][columns], int i) {
      float sum = 0;
      for (int y = 0; y < cell; ++y)
        for (int x = 0; x < cell; ++x) sum += of[y][i * cell + x];
      return rounded_to_even(sum / (cell * cell));
    };
    for (int i = 0; i < columns / cell; ++i) {
      towards_blue[i] = mean(blue, i);
      towards_red[i] = mean(red, i);
    }
    const index_t in_row = at.width - at.column;
    for (int y = 0; y < cell; ++y)
      if (at.row + y < at.height) store(frame + (at.row + y) * at.width + at.column, luma[y], in_row);
    std::uint8_t* const plane =
        frame + at.height * at.width + at.row / cell * cells(at.width) + at.column / cell;
    store(plane, towards_blue, cells(in_row));
    store(plane + cells(at.height) * cells(at.width), towards_red, cells(in_row));
  }
  bool operator==(const YuvPixels&) const = default;
};

namespace elementwise_detail {
struct StoreNothing {
  template <class T, int count>
  constexpr void operator()(T*, const T (&)[count], index_t) const {}
};
}  // namespace elementwise_detail

template <class L>
concept PixelLayout = requires(const L& layout, const float (&values)[L::cell][L::cell * L::channels],
                               const CellPlace& at, std::uint8_t* frame) {
  { layout.frame_bytes(at.height, at.width) } -> std::same_as<index_t>;
  layout.put(values, at, frame, elementwise_detail::StoreNothing{});
};

/// What frames_to_pixels requires, on any execution.
template <PixelLayout Layout>
void require_pixels_fit(VideoView<const float> frames, const Layout& layout,
                        const PixelFrames<std::uint8_t>& out) {
  require(frames.channels == 3, [&] {
    return "frames_to_pixels: frames are " + shape_text(frames) + "; they must have 3 channels";
  });
  require(out.frames == frames.frames && out.height == frames.height && out.width == frames.width &&
              out.frame_bytes == layout.frame_bytes(frames.height, frames.width),
          [&] {
            return "frames_to_pixels: frames are " + shape_text(frames) + " and out is " +
                   extents_text({out.frames, out.height, out.width}) + " with " +
                   std::to_string(out.frame_bytes) + " bytes a frame; they must agree, with " +
                   std::to_string(layout.frame_bytes(frames.height, frames.width)) + " bytes";
          });
  require_data("frames_to_pixels", "frames", frames);
  require_data("frames_to_pixels", "out", out);
  require_data("frames_to_pixels", "marks",
               VectorView<std::uint8_t>{out.marks, out.size() > 0 ? out.frames : 0});
}

/// What join_seam requires, on any execution.
inline void require_seam_fits(VectorView<float> last, VectorView<float> first) {
  require(last.size == first.size, [&] {
    return "join_seam: the frames have " + std::to_string(last.size) + " and " + std::to_string(first.size) +
           " elements; they must have the same size";
  });
  require_data("join_seam", "last", last);
  require_data("join_seam", "first", first);
}

/// One element of a seam.
constexpr void join_seam_element(float& last, float& first) {
  first = std::fma(0.6f, first, 0.4f * last);
  last = std::fma(0.6f, last, 0.4f * first);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = the pixels of `frames` (frames, height, width, 3), nominally in [-1, 1]; NaN counts as -1. A frame
/// that holds NaN or infinities gets the mark 1, the others' marks stay as they are. The same bytes on every
/// execution. Throws RequestError where shapes disagree.
///     frames_to_pixels(host, frames, YuvPixels<2>{YuvMatrix::bt709()}, out);
template <PixelLayout Layout>
void frames_to_pixels(Host, VideoView<const float> frames, const Layout& layout,
                      PixelFrames<std::uint8_t> out) {
  require_pixels_fit(frames, layout, out);
  constexpr int cell = Layout::cell, channels = Layout::channels;
  constexpr index_t run = 32;  // cells at a time
  const index_t height = frames.height, width = frames.width * 3 / channels;
  const auto store = [](auto* target, const auto& elements, index_t count) {
    const auto all = static_cast<index_t>(std::size(elements));
    std::copy_n(elements, std::min(all, count), target);
  };
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t frame = 0; frame < frames.frames; ++frame)
    for (index_t row = 0; row < height; row += cell) {
      int non_finite = 0;
      for (index_t column = 0; column < width; column += run * cell) {
        float values[cell][run * cell * channels];
        const index_t own = std::min(run * cell, width - column) * channels;
        for (int y = 0; y < cell; ++y) {
          std::copy_n(frames.pixel(frame, std::min(row + y, height - 1), 0) + column * channels, own,
                      values[y]);
          for (index_t i = own; i < std::ssize(values[y]); ++i) values[y][i] = values[y][i - channels];
          for (const float value : values[y]) non_finite |= elementwise_detail::is_non_finite(value);
        }
        layout.put(values, {height, width, row, column}, out.frame(frame), store);
      }
      if (non_finite != 0) {
#pragma omp atomic write
        out.marks[frame] = 1;
      }
    }
}

/// The two frames at a seam are drawn towards one another: first = 0.6 first + 0.4 last, then last = 0.6 last
/// + 0.4 first. The same bits on every execution. Throws RequestError where sizes disagree.
inline void join_seam(Host, VectorView<float> last, VectorView<float> first) {
  require_seam_fits(last, first);
#pragma omp parallel for simd schedule(static)
  for (index_t i = 0; i < last.size; ++i) join_seam_element(last[i], first[i]);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
