// Attention on the GPU, by whichever path the device and the views allow.
#pragma once
#include <stepvideo/kernels/attention/warp_attention.cuh>
#include <stepvideo/kernels/attention/warpgroup_attention.cuh>

namespace stepvideo {

/// See the host's attention: same shapes, masks and errors, for heads of 64 or 128 channels of bf16 or fp16.
/// A mask's arrays lie in device memory. Runs on device.stream, allocates nothing, gives the same bits every
/// time on one kind of device. Hopper's warpgroup products serve what they can, mma.sync everything else.
template <WarpAttentionElement T, AttentionMask Mask>
void attention(Device device, std::type_identity_t<HeadsView<const T>> queries,
               std::type_identity_t<HeadsView<const T>> keys, std::type_identity_t<HeadsView<const T>> values,
               const Mask& mask, HeadsView<T> out, const AttentionOptions& options) {
  if (warpgroup_attention_serves<T>(queries, keys, values, mask, out, options)) {
    warpgroup_attention<T>(device, queries, keys, values, mask, out, options);
  } else {
    warp_attention<T>(device, queries, keys, values, mask, out, options);
  }
}

}  // namespace stepvideo
