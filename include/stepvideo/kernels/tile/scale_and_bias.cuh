// Scales and biases of neighbouring columns at once.
#pragma once
#include <stepvideo/kernels/tile/epilogue_pack.cuh>
#include <stepvideo/kernels/tile/scale_and_bias.hpp>

namespace stepvideo {

template <int count, class T>
__device__ void finish_pack(const ScaleAndBias<T>& epilogue, index_t, index_t column,
                            float (&values)[count]) {
  float factors[count], biases[count];
  widen_pack(load_constant_pack<count>(epilogue.scales.data + column), factors);
  widen_pack(load_constant_pack<count>(epilogue.bias.data + column), biases);
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = values[i] * factors[i] + biases[i];
}

template <int count, class T>
bool epilogue_packs_fit(const ScaleAndBias<T>& epilogue) {
  return packs_fit<count>(epilogue.scales.data) && packs_fit<count>(epilogue.bias.data);
}

}  // namespace stepvideo
