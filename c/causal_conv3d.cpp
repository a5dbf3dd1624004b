#include "causal_conv3d.hpp"

namespace stepvideo::c_abi {

stepvideo_conv_weight* make_conv_weight(Host, const Argument& weight) {
  stepvideo_conv_weight* made = nullptr;
  dispatch_element(host, weight, [&]<class T>(T) { made = new_conv_weight<T>(host, host, {}, weight); });
  return made;
}

void causal_conv3d(Host, const CausalConvCall& call) {
  dispatch_element(host, call.in,
                   [&]<class T>(T) { causal_conv3d_of<T>(host, conv_detail::host_order, call); });
}

}  // namespace stepvideo::c_abi
