#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>

#include "qk_norm_rope.hpp"

namespace stepvideo::c_abi {

stepvideo_rope_table* make_rope_table(Device, LatentShape shape, RopeSplit split) {
  // On the default stream, which outlives every other: the table's memory is given back there.
  return new_rope_table(Device{}, current_place(), shape, split);
}

void qk_norm_rope(Device device, const QkNormRopeCall& call) {
  dispatch_element<bf16, fp16>("qk_norm_rope on a GPU", call.packed,
                               [&]<class T>(T) { qk_norm_rope_of<T>(device, call); });
}

}  // namespace stepvideo::c_abi
