// Shortcuts across a change of width.
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

/// What repeat_channels and average_channels require, on any execution: the same pixels, and `wide` a
/// multiple of `narrow` channels, one of which is in's and one out's.
template <class In, class Out>
void require_channel_shapes(const char* kernel, const VideoView<In>& in, const VideoView<Out>& out,
                            index_t wide, index_t narrow) {
  require_video(kernel, "in", in);
  require_video(kernel, "out", out);
  require(in.frames == out.frames && in.height == out.height && in.width == out.width && wide % narrow == 0,
          [&] {
            return std::string(kernel) + ": in is " + shape_text(in) + " and out " + shape_text(out) +
                   (wide == out.channels ? "; out's channels must be a multiple of in's, the rest equal"
                                         : "; in's channels must be a multiple of out's, the rest equal");
          });
  require_apart(kernel, in, out);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out[.., c] = in[.., c / r] with r = out channels / in channels. Same frames, height, width; must not
/// overlap. The epilogue sees (pixels, channels) of out. Throws RequestError where shapes disagree.
template <class In, Epilogue Finish, HostElement Out>
requires HostElement<std::remove_const_t<In>>
void repeat_channels(Host, VideoView<In> in, const Finish& epilogue, VideoView<Out> out) {
  require_channel_shapes("repeat_channels", in, out, out.channels, in.channels);
  using Source = conv_detail::RepeatedChannels<std::remove_const_t<In>>;
  conv_detail::rearrange(host, "repeat_channels", Source{in, out.channels / in.channels}, epilogue, out);
}

/// out[.., c] = mean of in[.., c r .. c r + r - 1] with r = in channels / out channels. Same frames, height,
/// width; must not overlap. The epilogue sees (pixels, channels) of out. Throws RequestError where shapes
/// disagree.
template <class In, Epilogue Finish, HostElement Out>
requires HostElement<std::remove_const_t<In>>
void average_channels(Host, VideoView<In> in, const Finish& epilogue, VideoView<Out> out) {
  require_channel_shapes("average_channels", in, out, in.channels, out.channels);
  using Source = conv_detail::AveragedChannels<std::remove_const_t<In>>;
  conv_detail::rearrange(host, "average_channels", Source{in, in.channels / out.channels}, epilogue, out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
