// The models with a GPU's kernels, for code that nvcc compiles; with_cuda_*.cu beside this instantiate them.
#pragma once
#include <stepvideo/stepvideo.cuh>

#include "model/clip_text.hpp"
#include "model/step_llm.hpp"
#include "model/transformer.hpp"

namespace stepvideo::model {

extern template class Transformer<float, Device>;
extern template class Transformer<bf16, Device>;
extern template class StepLlm<float, Device>;
extern template class StepLlm<bf16, Device>;
extern template class ClipText<float, Device>;
extern template class ClipText<bf16, Device>;

}  // namespace stepvideo::model
