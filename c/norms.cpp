#include "norms.hpp"

namespace stepvideo::c_abi {

void rms_norm(Host, const RmsNormCall& call) {
  dispatch_element(host, call.in, [&]<class T>(T) { rms_norm_of<T>(host, call); });
}

void layer_norm(Host, const LayerNormCall& call) {
  dispatch_element(host, call.in, [&]<class T>(T) { layer_norm_of<T>(host, call); });
}

}  // namespace stepvideo::c_abi
