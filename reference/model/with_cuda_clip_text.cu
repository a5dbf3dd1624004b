#include "model/on_gpu.cuh"

namespace stepvideo::model {

template class ClipText<float, Device>;
template class ClipText<bf16, Device>;

}  // namespace stepvideo::model
