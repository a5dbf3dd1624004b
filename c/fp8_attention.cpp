#include "fp8_attention.hpp"

namespace stepvideo::c_abi {

std::size_t fp8_attention_workspace(Host, const Argument& queries, const Argument& keys) {
  std::size_t bytes = 0;
  dispatch_element(host, queries, [&]<class T>(T) { bytes = fp8_workspace_of<T>(host, queries, keys); });
  return bytes;
}

void fp8_attention(Host, const Fp8AttentionCall& call) {
  dispatch_element(host, call.attention.queries, [&]<class T>(T) { fp8_attention_of<T>(host, call); });
}

}  // namespace stepvideo::c_abi
