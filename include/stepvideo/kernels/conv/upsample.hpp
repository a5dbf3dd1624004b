// Nearest-neighbour upsampling. A convolution after a doubling needs none (ConvForm), nor does the addition
// of a doubled video (DoubledResidual); this is for the other readers.
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

namespace stepvideo {

/// What upsample_nearest requires, on any execution. Throws RequestError naming what disagrees.
template <class In, class Out>
void require_upsample_shapes(const VideoView<In>& in, const VideoView<Out>& out) {
  constexpr const char* kernel = "upsample_nearest";
  require_video(kernel, "in", in);
  require_video(kernel, "out", out);
  const index_t space = out.height / in.height;
  require(out.frames % in.frames == 0 && space > 0 && out.height == space * in.height &&
              out.width == space * in.width && out.channels == in.channels,
          [&] {
            return std::string(kernel) + ": in is " + shape_text(in) + " and out " + shape_text(out) +
                   "; out must be whole multiples of in, one for the frames and one for height and width";
          });
  require_apart(kernel, in, out);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[t, y, x] = in[t / r, y / s, x / s], with r and s the ratios of out's frames and rows to in's. (frames,
/// height, width, channels); must not overlap. Throws RequestError where out is not such a multiple of in.
template <HostElement T>
void upsample_nearest(Host, std::type_identity_t<VideoView<const T>> in, VideoView<T> out) {
  require_upsample_shapes(in, out);
  const index_t frames = out.frames / in.frames, space = out.height / in.height;
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t frame = 0; frame < out.frames; ++frame)
    for (index_t y = 0; y < out.height; ++y)
      for (index_t x = 0; x < out.width; ++x)
        std::copy_n(in.pixel(frame / frames, y / space, x / space), in.channels, out.pixel(frame, y, x));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
