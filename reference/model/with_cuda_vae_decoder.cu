#include "model/on_gpu_vae.cuh"

namespace stepvideo::model {

template class VaeDecoder<float, Device>;
template class VaeDecoder<bf16, Device>;

}  // namespace stepvideo::model
