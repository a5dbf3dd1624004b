#include "model/vae.hpp"

namespace stepvideo::model {

template class VaeDecoder<float, Host>;
template class VaeDecoder<bf16, Host>;
template class VaeEncoder<float, Host>;
template class VaeEncoder<bf16, Host>;

}  // namespace stepvideo::model
