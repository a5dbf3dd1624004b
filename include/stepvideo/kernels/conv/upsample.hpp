// Nearest-neighbour upsampling. A convolution can do it on the fly (ConvOptions); this is for the other
// readers.
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[t, y, x] = in[t / r, y / s, x / s], with r and s the ratios of out's frames and rows to in's. (frames,
/// height, width, channels). Throws RequestError where out is not such a multiple of in.
template <Element T>
void upsample_nearest(Host, std::type_identity_t<VideoView<const T>> in, VideoView<T> out) {
  const index_t frames = in.frames > 0 ? out.frames / in.frames : 0;
  const index_t space = in.height > 0 ? out.height / in.height : 0;
  require(frames > 0 && space > 0 && out.frames == frames * in.frames && out.height == space * in.height &&
              out.width == space * in.width && out.channels == in.channels,
          [&] {
            return "upsample_nearest: in is " + shape_text(in) + " and out " + shape_text(out) +
                   "; out must be whole multiples of in, one for the frames and one for height and width";
          });
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t frame = 0; frame < out.frames; ++frame)
    for (index_t y = 0; y < out.height; ++y)
      for (index_t x = 0; x < out.width; ++x)
        std::copy_n(in.pixel(frame / frames, y / space, x / space), in.channels, out.pixel(frame, y, x));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
