// Shortcuts across a change of width.
#pragma once
#include <string>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[.., c] = in[.., c / r] with r = out channels / in channels. Same frames, height, width; the epilogue
/// sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <class In, Element Out, Epilogue E = Store>
void repeat_channels(Host, VideoView<In> in, VideoView<Out> out, const E& epilogue = {}) {
  require(in.frames == out.frames && in.height == out.height && in.width == out.width && in.channels > 0 &&
              out.channels % in.channels == 0,
          [&] {
            return "repeat_channels: in is " + shape_text(in) + " and out " + shape_text(out) +
                   "; out's channels must be a multiple of in's, the rest equal";
          });
  epilogue.require_fits(out.pixels(), out.channels);
  const index_t repeat = out.channels / in.channels;
#pragma omp parallel for schedule(static)
  for (index_t pixel = 0; pixel < out.pixels(); ++pixel) {
    const auto finish = epilogue.row(pixel);
    const In* source = in.data + pixel * in.channels;
    Out* target = out.data + pixel * out.channels;
    for (index_t c = 0; c < out.channels; ++c) target[c] = Out(finish(float(source[c / repeat]), c));
  }
}

/// out[.., c] = mean of in[.., c r .. c r + r - 1] with r = in channels / out channels. Same frames, height,
/// width; the epilogue sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <class In, Element Out, Epilogue E = Store>
void average_channels(Host, VideoView<In> in, VideoView<Out> out, const E& epilogue = {}) {
  require(in.frames == out.frames && in.height == out.height && in.width == out.width && out.channels > 0 &&
              in.channels % out.channels == 0,
          [&] {
            return "average_channels: in is " + shape_text(in) + " and out " + shape_text(out) +
                   "; in's channels must be a multiple of out's, the rest equal";
          });
  epilogue.require_fits(out.pixels(), out.channels);
  const index_t count = in.channels / out.channels;
#pragma omp parallel for schedule(static)
  for (index_t pixel = 0; pixel < out.pixels(); ++pixel) {
    const auto finish = epilogue.row(pixel);
    const In* source = in.data + pixel * in.channels;
    Out* target = out.data + pixel * out.channels;
    for (index_t c = 0; c < out.channels; ++c) {
      float sum = 0;
      for (index_t i = 0; i < count; ++i) sum += float(source[c * count + i]);
      target[c] = Out(finish(sum / static_cast<float>(count), c));
    }
  }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
