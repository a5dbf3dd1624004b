// What the writers of videos take: frames as bytes, in a layout that is known when the file is named.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <variant>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/elementwise/pixels.hpp>

namespace stepvideo::io {

/// 4:4:4 is YuvPixels<1>, 4:2:0 YuvPixels<2>.
using PixelFormat = std::variant<FloatPixels, RgbPixels, YuvPixels<1>, YuvPixels<2>>;

/// Frames that are done, in the host's memory.
using ReadyFrames = PixelFrames<const std::uint8_t>;

inline index_t frame_bytes_of(const PixelFormat& format, index_t height, index_t width) {
  return std::visit([&](const auto& layout) { return layout.frame_bytes(height, width); }, format);
}

/// See frames_to_pixels.
template <Execution E>
void write_pixels(E execution, VideoView<const float> frames, const PixelFormat& format,
                  const PixelFrames<std::uint8_t>& out) {
  std::visit([&](const auto& layout) { frames_to_pixels(execution, frames, layout, out); }, format);
}

/// Frames of FloatPixels as they came: (frames, height, width, 3).
template <class Byte>
auto floats_of(const PixelFrames<Byte>& frames) {
  using Float = std::conditional_t<std::is_const_v<Byte>, const float, float>;
  return VideoView<Float>{reinterpret_cast<Float*>(frames.data), frames.frames, frames.height, frames.width,
                          3};
}

/// Room for so many frames and their marks in `memory`, from `bytes` on, which grow by what they take.
/// Without memory the view has extents alone.
inline PixelFrames<std::uint8_t> take_pixels(std::uint8_t* memory, std::size_t& bytes,
                                             const PixelFormat& format, index_t frames, index_t height,
                                             index_t width) {
  PixelFrames<std::uint8_t> taken{nullptr, frames, height, width, frame_bytes_of(format, height, width)};
  const std::size_t marks_at = bytes + workspace_bytes<std::uint8_t>(taken.size());
  if (memory != nullptr) taken.data = memory + bytes, taken.marks = memory + marks_at;
  bytes = marks_at + workspace_bytes<std::uint8_t>(frames);
  return taken;
}

/// Some frames and their marks, which are 0.
class PixelBuffer {
 public:
  PixelBuffer(const PixelFormat& format, index_t frames, index_t height, index_t width) {
    std::size_t bytes = 0;
    take_pixels(nullptr, bytes, format, frames, height, width);
    memory_ = Buffer<std::uint8_t>(static_cast<index_t>(bytes));
    bytes = 0;
    frames_ = take_pixels(memory_.data(), bytes, format, frames, height, width);
    std::fill_n(frames_.marks, frames, std::uint8_t{0});
  }
  PixelFrames<std::uint8_t> view() const { return frames_; }

 private:
  Buffer<std::uint8_t> memory_;
  PixelFrames<std::uint8_t> frames_;
};

}  // namespace stepvideo::io
