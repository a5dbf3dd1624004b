// Causal convolution of either execution behind the C ABI.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/conv/conv_weight.hpp>

#include "calls.hpp"
#include "handle.hpp"

namespace stepvideo::c_abi {

inline ConvShape conv_shape_of(const Argument& weight) {
  const auto& tensor = weight.tensor();
  const auto kernel = [&](int axis) {  // what no int holds is refused with the rest
    return static_cast<int>(std::min<std::int64_t>(tensor.rank > axis ? tensor.shape[axis] : 0, 1 << 20));
  };
  return {tensor.shape[0], tensor.rank > 1 ? tensor.shape[1] : 0, kernel(2), kernel(3), kernel(4)};
}

/// `owner` is an execution of the same place that outlives every stream: memory is allocated and given back
/// there.
template <class T, Execution E>
stepvideo_conv_weight* new_conv_weight(E execution, E owner, Place place, const Argument& weight) {
  const auto elements = weight.dense<const T>(5, "(out channels, in channels, frames, height, width)");
  const ConvShape shape = conv_shape_of(weight);
  auto memory = std::make_shared<Buffer<T, E>>(owner, conv_weight_elements(execution, shape));
  synchronize(owner);
  const auto packed = pack_conv_weight(execution, elements, shape, memory->vector());
  return new stepvideo_conv_weight{place, std::move(memory), element_of<T>, shape, packed.data()};
}

template <class T, Execution E>
void causal_conv3d_of(E execution, const ConvWeightOrder& order, const CausalConvCall& call) {
  const PackedConvWeight<T, E> weight(call.weight.shape, order, static_cast<const T*>(call.weight.data));
  stepvideo::causal_conv3d(execution, call.in.video<const T>(), weight, call.bias.vector<const T>(),
                           {.stride = call.stride, .past_frames = call.past_frames}, Store{},
                           call.out.video<T>());
}

}  // namespace stepvideo::c_abi
