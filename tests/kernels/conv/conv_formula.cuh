// The causal convolution by its formula, in double, for shapes that are too much for the host.
#pragma once
#include <stepvideo/core/launch.cuh>
#include <stepvideo/core/view.hpp>

namespace stepvideo::testing {

/// `weight` (out, in, kernel, kernel, kernel); `in` doubled along all axes first where `doubled` is 2. `bias`
/// may be null: none. `summed` is the sum of the terms' magnitudes.
template <class T>
struct FormulaParams {
  VideoView<const T> in;
  const T *weight, *bias;
  int kernel, doubled;
  VideoView<double> values, summed;
};

template <class T>
__global__ void formula_kernel(FormulaParams<T> params) {
  const VideoView<double>& out = params.values;
  for (index_t i = index_t{blockIdx.x} * blockDim.x + threadIdx.x; i < out.size();
       i += index_t{gridDim.x} * blockDim.x) {
    const index_t channel = i % out.channels, pixel = i / out.channels, x = pixel % out.width,
                  y = pixel / out.width % out.height, frame = pixel / out.width / out.height;
    const int kernel = params.kernel, doubled = params.doubled;
    double sum = params.bias == nullptr ? 0 : double(params.bias[channel]), summed = std::abs(sum);
    for (int tap = 0; tap < kernel * kernel * kernel; ++tap) {
      const index_t t = frame + tap / (kernel * kernel) - (kernel - 1),
                    v = y + tap / kernel % kernel - kernel / 2, u = x + tap % kernel - kernel / 2;
      if (t < 0 || v < 0 || v >= out.height || u < 0 || u >= out.width) continue;
      const T* values = params.in.pixel(t / doubled, v / doubled, u / doubled);
      for (index_t c = 0; c < params.in.channels; ++c) {
        const double term =
            double(values[c]) *
            double(params.weight[(channel * params.in.channels + c) * (kernel * kernel * kernel) + tap]);
        sum += term, summed += std::abs(term);
      }
    }
    out.data[i] = sum, params.summed.data[i] = summed;
  }
}

}  // namespace stepvideo::testing
