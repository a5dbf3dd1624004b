// Attention on the GPU, by whichever path the device and the views allow.
#pragma once
#include <string>

#include <stepvideo/kernels/attention/partial_results.cuh>
#include <stepvideo/kernels/attention/plain_attention.cuh>
#include <stepvideo/kernels/attention/warp_attention.cuh>
#include <stepvideo/kernels/attention/warpgroup_attention.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Attention, Device> = true;
}  // namespace calls

/// Which kernel serves attention() with these arguments on the current device, and why not the fastest:
/// to_string() says it in words. Same errors; works on nothing.
template <Element T, AttentionMask Mask>
AttentionPath attention_path(Device, std::type_identity_t<HeadsView<const T>> queries,
                             std::type_identity_t<HeadsView<const T>> keys,
                             std::type_identity_t<HeadsView<const T>> values, const Mask& mask,
                             HeadsView<T> out, const AttentionOptions& options) {
  require_countable_attention(queries, keys.tokens);
  require_plain_head(queries.dim);
  require_attention_call<T>(queries, keys, values, mask, out, options);
  return attention_path<T>(warpgroup_attention_gpu<T>(mask), queries, keys, values, out, options);
}

namespace attention_detail {

/// attention() for results of T, or partial_attention() for those of float32 that `results` makes of `out`
/// for the tensor cores' kernels.
template <Element T, AttentionMask Mask, Element Out, class Results>
void attend_on_device(const char* name, Device device, HeadsView<const T> queries, HeadsView<const T> keys,
                      HeadsView<const T> values, const Mask& mask, HeadsView<Out> out, const Results& results,
                      const AttentionOptions& options) {
  require_countable_attention(queries, keys.tokens);
  require_plain_head(queries.dim);
  require_attention_call<T>(queries, keys, values, mask, out, options);
  if (queries.batch * queries.heads * queries.tokens == 0) return;
  const AttentionPath path =
      attention_path<T>(warpgroup_attention_gpu<T>(mask), queries, keys, values, out, options);
  require(path.kernel != AttentionKernel::none, [&] { return std::string(name) + ": " + to_string(path); });
  if constexpr (WarpAttentionElement<T>) {
    if (path.kernel == AttentionKernel::warpgroup)
      return launch_warpgroup_attention<T>(device, queries, keys, values, mask, results, options);
    if (path.kernel == AttentionKernel::warp)
      return launch_warp_attention<T>(device, queries, keys, values, mask, results, options);
  }
  launch_plain_attention<T>(device, queries, keys, values, mask, out, options);
}

}  // namespace attention_detail

/// See the host's attention: same shapes, masks and errors, for every element and any width of a head. A
/// mask's arrays lie in device memory. Runs on device.stream, allocates nothing, gives the same bits every
/// time on one kind of device. Heads of 64 and 128 channels of bf16 or fp16 go to the tensor cores: Hopper's
/// warpgroup products serve what they can, mma.sync the others; attention_path() says which, and why.
template <Element T, AttentionMask Mask>
void attention(Device device, std::type_identity_t<HeadsView<const T>> queries,
               std::type_identity_t<HeadsView<const T>> keys, std::type_identity_t<HeadsView<const T>> values,
               const Mask& mask, HeadsView<T> out, const AttentionOptions& options = {}) {
  attention_detail::attend_on_device<T>("attention", device, queries, keys, values, mask, out, out, options);
}

/// See the host's partial_attention: same shapes, masks and errors; by the kernels of attention().
template <Element T, AttentionMask Mask>
void partial_attention(Device device, std::type_identity_t<HeadsView<const T>> queries,
                       std::type_identity_t<HeadsView<const T>> keys,
                       std::type_identity_t<HeadsView<const T>> values, const Mask& mask,
                       HeadsView<float> out, const AttentionOptions& options) {
  require_partial_attention(options);
  attention_detail::attend_on_device<T>("partial_attention", device, queries, keys, values, mask, out,
                                        PartialResults::of(out), options);
}

}  // namespace stepvideo
