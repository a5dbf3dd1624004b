#include "model/clip_text.hpp"

namespace stepvideo::model {

template class ClipText<float, Host>;
template class ClipText<bf16, Host>;

}  // namespace stepvideo::model
