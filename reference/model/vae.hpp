// The video VAE. On the host it is compiled once, in vae.cpp.
#pragma once
#include "model/vae_decoder.hpp"
#include "model/vae_encoder.hpp"

namespace stepvideo::model {

extern template class VaeDecoder<float, Host>;
extern template class VaeDecoder<bf16, Host>;
extern template class VaeEncoder<float, Host>;
extern template class VaeEncoder<bf16, Host>;

}  // namespace stepvideo::model
