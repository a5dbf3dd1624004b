// The video VAE with a GPU's kernels, for code that nvcc compiles; with_cuda_vae_*.cu instantiate it.
#pragma once
#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/conv/causal_conv3d.cuh>
#include <stepvideo/kernels/conv/channels.cuh>
#include <stepvideo/kernels/conv/pixel_shuffle.cuh>
#include <stepvideo/kernels/elementwise/convert.cuh>
#include <stepvideo/kernels/elementwise/latents.cuh>
#include <stepvideo/kernels/elementwise/pixels.cuh>
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>
#include <stepvideo/kernels/norm/group_norm.cuh>

#include "model/causal_attention.cuh"
#include "model/frames_to_host.cuh"
#include "model/vae_decoder.hpp"
#include "model/vae_encoder.hpp"

namespace stepvideo::model {

extern template class VaeDecoder<float, Device>;
extern template class VaeDecoder<bf16, Device>;
extern template class VaeDecoder<bf16, Device, fp8_e4m3>;
extern template class VaeEncoder<float, Device>;
extern template class VaeEncoder<bf16, Device>;

}  // namespace stepvideo::model
