#include "attention.hpp"

namespace stepvideo::c_abi {

void attention(Host, const AttentionCall& call) {
  dispatch_element(host, call.queries, [&]<class T>(T) {
    with_attention_views<T>(
        call, [](auto queries, auto keys, auto values, auto mask, auto out, const auto& options) {
          stepvideo::attention<T>(host, queries, keys, values, mask, out, options);
        });
  });
}

}  // namespace stepvideo::c_abi
