// RMSNorm on the GPU, behind the same call as on the CPU.
#pragma once
#include <cstdint>

#include <cub/warp/warp_reduce.cuh>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/rms_norm.hpp>

namespace stepvideo {

/// A row is shared by `lanes` lanes of a warp that take `vector` elements each at a time.
template <class T, int vector_elements>
struct RmsNormPolicy {
  using Element = T;
  static constexpr int vector = vector_elements;
  static constexpr int threads = 256;
  // 16-byte loads: 16 lanes cover a head of 128 two-byte elements, 32 lanes one of 128 floats.
  static constexpr int lanes = sizeof(T) == 2 && vector > 1 ? 16 : 32;
  static constexpr int rows_per_block = threads / lanes;
};

template <class T>
struct RmsNormParams {
  HeadsView<const T> in;
  VectorView<const T> weight;
  HeadsView<T> out;
  float epsilon;
};

/// `count` neighbouring elements, loaded and stored as one word.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T elements[count];
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    rms_norm_kernel(RmsNormParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  using Elements = Pack<T, Policy::vector>;
  using Reduce = cub::WarpReduce<float, Policy::lanes>;
  __shared__ typename Reduce::TempStorage storage[Policy::rows_per_block];

  const int row_in_block = threadIdx.x / Policy::lanes, lane = threadIdx.x % Policy::lanes;
  const index_t row = index_t{blockIdx.x} * Policy::rows_per_block + row_in_block;
  const HeadsView<const T>& in = params.in;
  const bool is_row = row < in.batch * in.tokens * in.heads;  // every lane stays for the reduction

  const index_t head = row % in.heads, token = row / in.heads % in.tokens, batch = row / in.heads / in.tokens;
  const T* source = in.row(batch, token, head);
  float squares = 0;
  if (is_row) {
    for (index_t i = lane * Policy::vector; i < in.dim; i += Policy::lanes * Policy::vector) {
      const auto pack = *reinterpret_cast<const Elements*>(source + i);
      for (int e = 0; e < Policy::vector; ++e) squares += float(pack.elements[e]) * float(pack.elements[e]);
    }
  }
  // Only lane 0 holds the sum; the others ask it.
  const float sum = Reduce(storage[row_in_block]).Sum(squares);
  const float mean = __shfl_sync(0xFFFFFFFFu, sum, 0, Policy::lanes) / static_cast<float>(in.dim);
  const float scale = 1.0f / sqrtf(mean + params.epsilon);
  if (!is_row) return;

  T* target = params.out.row(batch, token, head);
  for (index_t i = lane * Policy::vector; i < in.dim; i += Policy::lanes * Policy::vector) {
    auto pack = *reinterpret_cast<const Elements*>(source + i);  // the second read comes from L1
    const auto weight = *reinterpret_cast<const Elements*>(params.weight.data + i);
    for (int e = 0; e < Policy::vector; ++e)
      pack.elements[e] = T(float(T(float(pack.elements[e]) * scale)) * float(weight.elements[e]));
    *reinterpret_cast<Elements*>(target + i) = pack;
  }
}

/// See the host's rms_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <Element T>
void rms_norm(Device device, std::type_identity_t<HeadsView<const T>> in,
              std::type_identity_t<VectorView<const T>> weight, float epsilon, HeadsView<T> out) {
  require_rms_norm_shapes<T>(in, weight, out);
  const index_t rows = in.batch * in.tokens * in.heads;
  if (rows == 0) return;

  constexpr int widest = 16 / sizeof(T);
  const auto allows = [](const void* data, auto... extents) {
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && ((extents % widest == 0) && ...);
  };
  const bool is_aligned = allows(in.data, in.dim, in.batch_stride, in.token_stride, in.head_stride) &&
                          allows(out.data, out.batch_stride, out.token_stride, out.head_stride) &&
                          allows(weight.data);
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    const auto blocks = (rows + Policy::rows_per_block - 1) / Policy::rows_per_block;
    launch({.grid = dim3(static_cast<unsigned>(blocks)), .block = Policy::threads, .stream = device.stream},
           rms_norm_kernel<Policy>, RmsNormParams<T>{in, weight, out, epsilon});
  };
  if (is_aligned) {
    launch_with(RmsNormPolicy<T, widest>{});
  } else {
    launch_with(RmsNormPolicy<T, 1>{});
  }
}

}  // namespace stepvideo
