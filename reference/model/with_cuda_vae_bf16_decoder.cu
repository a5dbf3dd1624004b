// Both in one unit: they share all kernels but those of fp8.
#include "model/on_gpu_vae.cuh"

namespace stepvideo::model {

template class VaeDecoder<bf16, Device>;
template class VaeDecoder<bf16, Device, fp8_e4m3>;

}  // namespace stepvideo::model
