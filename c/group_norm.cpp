#include "group_norm.hpp"

namespace stepvideo::c_abi {

std::size_t group_norm_workspace(Host, const Argument& in) {
  dispatch_element(host, in, [&]<class T>(T) { in.video<const T>(); });
  return 0;
}

void group_norm(Host, const GroupNormCall& call) {
  dispatch_element(host, call.in, [&]<class T>(T) { group_norm_of<T>(host, call); });
}

}  // namespace stepvideo::c_abi
