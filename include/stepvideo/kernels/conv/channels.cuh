// Shortcuts across a change of width on the GPU, behind the same calls as on the CPU.
#pragma once
#include <stepvideo/kernels/conv/channels.hpp>
#include <stepvideo/kernels/conv/rearrange.cuh>

namespace stepvideo {

/// See the host's: same shapes, same errors, the same bits. Runs on device.stream.
template <class In, Epilogue Finish, Element Out>
void repeat_channels(Device device, VideoView<In> in, const Finish& epilogue, VideoView<Out> out) {
  require_channel_shapes("repeat_channels", in, out, out.channels, in.channels);
  using Source = conv_detail::RepeatedChannels<std::remove_const_t<In>>;
  conv_detail::rearrange(device, "repeat_channels", Source{in, out.channels / in.channels}, epilogue, out);
}

/// See the host's: same shapes, same errors, the same bits. Runs on device.stream.
template <class In, Epilogue Finish, Element Out>
void average_channels(Device device, VideoView<In> in, const Finish& epilogue, VideoView<Out> out) {
  require_channel_shapes("average_channels", in, out, in.channels, out.channels);
  using Source = conv_detail::AveragedChannels<std::remove_const_t<In>>;
  conv_detail::rearrange(device, "average_channels", Source{in, in.channels / out.channels}, epilogue, out);
}

}  // namespace stepvideo
