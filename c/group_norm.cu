#include <stepvideo/kernels/norm/group_norm.cuh>

#include "group_norm.hpp"

namespace stepvideo::c_abi {

namespace {

template <class Function>
void dispatch_group_norm(const Argument& in, Function&& function) {
  dispatch_element<bf16, fp16>("group_norm on a GPU", in, function);
}

}  // namespace

std::size_t group_norm_workspace(Device device, const Argument& in) {
  std::size_t bytes = 0;
  dispatch_group_norm(
      in, [&]<class T>(T) { bytes = stepvideo::group_norm_workspace(device, in.video<const T>()); });
  return bytes;
}

void group_norm(Device device, const GroupNormCall& call) {
  dispatch_group_norm(call.in, [&]<class T>(T) { group_norm_of<T>(device, call); });
}

}  // namespace stepvideo::c_abi
