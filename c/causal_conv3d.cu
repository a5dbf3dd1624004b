#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/conv/causal_conv3d.cuh>
#include <stepvideo/kernels/conv/conv_weight.cuh>

#include "causal_conv3d.hpp"

namespace stepvideo::c_abi {

namespace {

template <class Function>
void dispatch_conv(const Argument& argument, Function&& function) {
  dispatch_element<bf16, fp16>("causal_conv3d on a GPU", argument, function);
}

}  // namespace

stepvideo_conv_weight* make_conv_weight(Device device, const Argument& weight) {
  stepvideo_conv_weight* made = nullptr;
  dispatch_conv(weight,
                [&]<class T>(T) { made = new_conv_weight<T>(device, Device{}, current_place(), weight); });
  return made;
}

void causal_conv3d(Device device, const CausalConvCall& call) {
  dispatch_conv(call.in, [&]<class T>(T) { causal_conv3d_of<T>(device, device_conv_order, call); });
}

}  // namespace stepvideo::c_abi
