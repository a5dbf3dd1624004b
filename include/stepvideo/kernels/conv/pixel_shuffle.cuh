// Moving 2x2x2 neighbourhoods between pixels and channels on the GPU, behind the same calls as on the CPU.
#pragma once
#include <stepvideo/kernels/conv/pixel_shuffle.hpp>
#include <stepvideo/kernels/conv/rearrange.cuh>

namespace stepvideo {

/// See the host's: same shapes, same errors, the same bits. Runs on device.stream.
template <class In, Epilogue Finish, Element Out>
void pixel_shuffle3d(Device device, VideoView<In> in, index_t repeat, index_t dropped_frames,
                     const Finish& epilogue, VideoView<Out> out) {
  require_pixel_shuffle_shapes(in, repeat, dropped_frames, out);
  using Source = conv_detail::ShuffledPixels<std::remove_const_t<In>>;
  conv_detail::rearrange(device, "pixel_shuffle3d", Source{in, repeat, dropped_frames}, epilogue, out);
}

/// See the host's: same shapes, same errors, the same bits. Runs on device.stream.
template <class In, Epilogue Finish, Element Out>
void pixel_unshuffle3d(Device device, VideoView<In> in, index_t mean, index_t front_frames,
                       const Finish& epilogue, VideoView<Out> out) {
  require_pixel_unshuffle_shapes(in, mean, front_frames, out);
  using Source = conv_detail::UnshuffledPixels<std::remove_const_t<In>>;
  conv_detail::rearrange(device, "pixel_unshuffle3d", Source{in, mean, front_frames}, epilogue, out);
}

}  // namespace stepvideo
