#include <stepvideo/kernels/attention/attention.cuh>

#include "attention.hpp"

namespace stepvideo::c_abi {

void attention(Device device, const AttentionCall& call) {
  dispatch_element<bf16, fp16>("attention on a GPU", call.queries, [&]<class T>(T) {
    with_attention_views<T>(
        call, [&](auto queries, auto keys, auto values, auto mask, auto out, const auto& options) {
          stepvideo::attention<T>(device, queries, keys, values, mask, out, options);
        });
  });
}

}  // namespace stepvideo::c_abi
