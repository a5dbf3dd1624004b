#include "qk_norm_rope.hpp"

namespace stepvideo::c_abi {

stepvideo_rope_table* make_rope_table(Host, LatentShape shape, RopeSplit split) {
  return new_rope_table(host, {}, shape, split);
}

void qk_norm_rope(Host, const QkNormRopeCall& call) {
  dispatch_element(host, call.packed, [&]<class T>(T) { qk_norm_rope_of<T>(host, call); });
}

}  // namespace stepvideo::c_abi
