#include "model/on_gpu_vae.cuh"

namespace stepvideo::model {

template class VaeDecoder<float, Device>;

}  // namespace stepvideo::model
