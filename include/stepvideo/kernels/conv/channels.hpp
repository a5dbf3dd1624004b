// Shortcuts across a change of width, and the two orders of a video's extents.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>

namespace stepvideo {

/// out[.., c] = in[.., c / r] with r = out channels / in channels. Same frames, height, width; the epilogue
/// sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <Element T, Epilogue E = Store>
void repeat_channels(Host, std::type_identity_t<VideoView<const T>> in, VideoView<T> out,
                     const E& epilogue = {}) {
  require(in.frames == out.frames && in.height == out.height && in.width == out.width && in.channels > 0 &&
              out.channels % in.channels == 0,
          [&] {
            return "repeat_channels: in is " + to_string(in) + " and out " + to_string(out) +
                   "; out's channels must be a multiple of in's, the rest equal";
          });
  epilogue.require_fits(out.pixels(), out.channels);
  const index_t repeat = out.channels / in.channels;
#pragma omp parallel for schedule(static)
  for (index_t pixel = 0; pixel < out.pixels(); ++pixel) {
    const auto finish = epilogue.row(pixel);
    const T* source = in.data + pixel * in.channels;
    T* target = out.data + pixel * out.channels;
    for (index_t c = 0; c < out.channels; ++c) target[c] = T(finish(float(source[c / repeat]), c));
  }
}

/// out[.., c] = mean of in[.., c r .. c r + r - 1] with r = in channels / out channels. Same frames, height,
/// width; the epilogue sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <Element T, Epilogue E = Store>
void average_channels(Host, std::type_identity_t<VideoView<const T>> in, VideoView<T> out,
                      const E& epilogue = {}) {
  require(in.frames == out.frames && in.height == out.height && in.width == out.width && out.channels > 0 &&
              in.channels % out.channels == 0,
          [&] {
            return "average_channels: in is " + to_string(in) + " and out " + to_string(out) +
                   "; in's channels must be a multiple of out's, the rest equal";
          });
  epilogue.require_fits(out.pixels(), out.channels);
  const index_t count = in.channels / out.channels;
#pragma omp parallel for schedule(static)
  for (index_t pixel = 0; pixel < out.pixels(); ++pixel) {
    const auto finish = epilogue.row(pixel);
    const T* source = in.data + pixel * in.channels;
    T* target = out.data + pixel * out.channels;
    for (index_t c = 0; c < out.channels; ++c) {
      float sum = 0;
      for (index_t i = 0; i < count; ++i) sum += float(source[c * count + i]);
      target[c] = T(finish(sum / static_cast<float>(count), c));
    }
  }
}

/// (frames, channels, height, width) to (frames, height, width, channels), rounded to T.
template <Element T>
void to_channels_last(Host, VectorView<const float> in, VideoView<T> out) {
  require(in.size == out.size(), [&] {
    return "to_channels_last: in has " + std::to_string(in.size) + " elements and out is " + to_string(out) +
           "; they must hold as many";
  });
  const index_t plane = out.height * out.width;
#pragma omp parallel for schedule(static)
  for (index_t frame = 0; frame < out.frames; ++frame)
    for (index_t c = 0; c < out.channels; ++c)
      for (index_t i = 0; i < plane; ++i)
        out.data[(frame * plane + i) * out.channels + c] = T(in[(frame * out.channels + c) * plane + i]);
}

/// Channels [first, first + count) of (frames, height, width, channels) to (frames, count, height, width).
template <class T>
requires Element<std::remove_const_t<T>>
void to_channels_first(Host, VideoView<T> in, index_t first, index_t count, VectorView<float> out) {
  require(first >= 0 && count >= 0 && first + count <= in.channels && out.size == in.pixels() * count, [&] {
    return "to_channels_first: channels " + std::to_string(first) + " to " + std::to_string(first + count) +
           " of " + to_string(in) + " do not fill " + std::to_string(out.size) + " elements";
  });
  const index_t plane = in.height * in.width;
#pragma omp parallel for schedule(static)
  for (index_t frame = 0; frame < in.frames; ++frame)
    for (index_t c = 0; c < count; ++c)
      for (index_t i = 0; i < plane; ++i)
        out[(frame * count + c) * plane + i] = float(in.data[(frame * plane + i) * in.channels + first + c]);
}

}  // namespace stepvideo
