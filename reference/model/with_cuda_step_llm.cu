#include "model/on_gpu.cuh"

namespace stepvideo::model {

template class StepLlm<float, Device>;
template class StepLlm<bf16, Device>;

}  // namespace stepvideo::model
