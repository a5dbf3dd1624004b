#include "model/on_gpu.cuh"

namespace stepvideo::model {

template class Transformer<float, Device>;
template class Transformer<bf16, Device>;

}  // namespace stepvideo::model
