#include <stepvideo/kernels/attention/fp8_attention.cuh>

#include "fp8_attention.hpp"

namespace stepvideo::c_abi {

namespace {

template <class Function>
void dispatch_fp8(const Argument& queries, Function&& function) {
  dispatch_element<bf16>("fp8 attention on a GPU", queries, function);
}

}  // namespace

std::size_t fp8_attention_workspace(Device device, const Argument& queries, const Argument& keys) {
  std::size_t bytes = 0;
  dispatch_fp8(queries, [&]<class T>(T) { bytes = fp8_workspace_of<T>(device, queries, keys); });
  return bytes;
}

void fp8_attention(Device device, const Fp8AttentionCall& call) {
  dispatch_fp8(call.attention.queries, [&]<class T>(T) { fp8_attention_of<T>(device, call); });
}

}  // namespace stepvideo::c_abi
