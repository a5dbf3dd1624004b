#include "model/on_gpu_vae.cuh"

namespace stepvideo::model {

template class VaeEncoder<float, Device>;
template class VaeEncoder<bf16, Device>;

}  // namespace stepvideo::model
