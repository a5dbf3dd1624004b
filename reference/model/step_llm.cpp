#include "model/step_llm.hpp"

namespace stepvideo::model {

template class StepLlm<float, Host>;
template class StepLlm<bf16, Host>;

}  // namespace stepvideo::model
