#include "model/transformer.hpp"

namespace stepvideo::model {

template class Transformer<float, Host>;
template class Transformer<bf16, Host>;

}  // namespace stepvideo::model
