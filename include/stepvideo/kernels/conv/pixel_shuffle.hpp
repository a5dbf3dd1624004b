// Moving 2x2x2 neighbourhoods between pixels and channels.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/conv/rearrange.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What pixel_shuffle3d requires, on any execution. Throws RequestError naming what disagrees.
template <class In, class Out>
void require_pixel_shuffle_shapes(const VideoView<In>& in, index_t repeat, index_t dropped_frames,
                                  const VideoView<Out>& out) {
  constexpr const char* kernel = "pixel_shuffle3d";
  require_video(kernel, "in", in);
  require_video(kernel, "out", out);
  require(repeat > 0 && dropped_frames >= 0, [&] {
    return std::string(kernel) + ": channels are repeated " + std::to_string(repeat) + " times and " +
           std::to_string(dropped_frames) + " frames dropped; 1 or more and 0 or more work";
  });
  require(out.frames + dropped_frames == 2 * in.frames && out.height == 2 * in.height &&
              out.width == 2 * in.width && out.channels * 8 == in.channels * repeat,
          [&] {
            return std::string(kernel) + ": in is " + shape_text(in) + " with channels repeated " +
                   std::to_string(repeat) + " times and out " + shape_text(out) + " without " +
                   std::to_string(dropped_frames) +
                   " frames; out must be twice in's frames (less those), height and width, and an eighth of "
                   "its repeated channels";
          });
  require_apart(kernel, in, out);
}

/// What pixel_unshuffle3d requires, on any execution. Throws RequestError naming what disagrees.
template <class In, class Out>
void require_pixel_unshuffle_shapes(const VideoView<In>& in, index_t mean, index_t front_frames,
                                    const VideoView<Out>& out) {
  constexpr const char* kernel = "pixel_unshuffle3d";
  require_video(kernel, "in", in);
  require_video(kernel, "out", out);
  require(mean > 0 && front_frames >= 0, [&] {
    return std::string(kernel) + ": means are over " + std::to_string(mean) + " channels behind " +
           std::to_string(front_frames) + " frames; 1 or more and 0 or more work";
  });
  require(2 * out.frames == in.frames + front_frames && 2 * out.height == in.height &&
              2 * out.width == in.width && out.channels * mean == 8 * in.channels,
          [&] {
            return std::string(kernel) + ": in is " + shape_text(in) + " behind " +
                   std::to_string(front_frames) + " frames and out " + shape_text(out) + " with means over " +
                   std::to_string(mean) +
                   " channels; out must be half of in's frames (with those), height and width, and eight "
                   "times its channels over the mean's";
          });
  require_apart(kernel, in, out);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[2t + i - dropped, 2y + j, 2x + k, c] = in[t, y, x, (8c + 4i + 2j + k) / repeat]: each channel repeated
/// `repeat` times, then shuffled, then the first `dropped_frames` left out. in (frames, height, width,
/// channels), out (2 frames - dropped, 2 height, 2 width, channels repeat / 8); must not overlap. The
/// epilogue sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <class In, Epilogue Finish, HostElement Out>
requires HostElement<std::remove_const_t<In>>
void pixel_shuffle3d(Host, VideoView<In> in, index_t repeat, index_t dropped_frames, const Finish& epilogue,
                     VideoView<Out> out) {
  require_pixel_shuffle_shapes(in, repeat, dropped_frames, out);
  using Source = conv_detail::ShuffledPixels<std::remove_const_t<In>>;
  conv_detail::rearrange(host, "pixel_shuffle3d", Source{in, repeat, dropped_frames}, epilogue, out);
}

/// The way back, behind `front_frames` frames of zeros, then the mean over each `mean` neighbouring channels:
/// shuffled[t, y, x, 8c + 4i + 2j + k] = in[2t + i - front, 2y + j, 2x + k, c], out = means of shuffled. in
/// (frames, height, width, channels), out ((frames + front) / 2, height / 2, width / 2, 8 channels / mean);
/// must not overlap. The epilogue sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <class In, Epilogue Finish, HostElement Out>
requires HostElement<std::remove_const_t<In>>
void pixel_unshuffle3d(Host, VideoView<In> in, index_t mean, index_t front_frames, const Finish& epilogue,
                       VideoView<Out> out) {
  require_pixel_unshuffle_shapes(in, mean, front_frames, out);
  using Source = conv_detail::UnshuffledPixels<std::remove_const_t<In>>;
  conv_detail::rearrange(host, "pixel_unshuffle3d", Source{in, mean, front_frames}, epilogue, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
