#include <stepvideo/kernels/norm/layer_norm.cuh>
#include <stepvideo/kernels/norm/rms_norm.cuh>

#include "norms.hpp"

namespace stepvideo::c_abi {

namespace {

template <class Function>
void dispatch_norm(const Argument& in, Function&& function) {
  dispatch_element<bf16, fp16, float>("a norm on a GPU", in, function);
}

}  // namespace

void rms_norm(Device device, const RmsNormCall& call) {
  dispatch_norm(call.in, [&]<class T>(T) { rms_norm_of<T>(device, call); });
}

void layer_norm(Device device, const LayerNormCall& call) {
  dispatch_norm(call.in, [&]<class T>(T) { layer_norm_of<T>(device, call); });
}

}  // namespace stepvideo::c_abi
