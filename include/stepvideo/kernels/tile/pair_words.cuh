// Packs of two-byte elements taken as the 32-bit words they lie in. Element by element, the compiler splits
// and joins the words with two more instructions an element, which keeps fused kernels from the memory's
// pace.
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

namespace detail {

template <class T, int count>
inline constexpr bool lies_in_words = !std::same_as<T, float> && sizeof(T) * count % sizeof(std::uint32_t) == 0;

template <class P>
struct alignas(P) PairWords {
  static_assert(sizeof(P) % sizeof(std::uint32_t) == 0);
  static constexpr int count = sizeof(P) / sizeof(std::uint32_t);
  std::uint32_t at[count];
};

template <class T>
using VendorPair = std::conditional_t<std::same_as<T, bf16>, __nv_bfloat162, __half2>;
template <class T>
using VendorPairBits = std::conditional_t<std::same_as<T, bf16>, __nv_bfloat162_raw, __half2_raw>;

template <class T>
__device__ VendorPair<T> as_pair(std::uint32_t word) {
  return VendorPair<T>(std::bit_cast<VendorPairBits<T>>(word));
}
template <class T>
__device__ std::uint32_t as_word(VendorPair<T> pair) {
  return std::bit_cast<std::uint32_t>(VendorPairBits<T>(pair));
}

}  // namespace detail

/// values = pack, as floats.
template <class T, int count>
__device__ void widen_words(const Pack<T, count>& pack, float (&values)[count]) {
  if constexpr (!detail::lies_in_words<T, count>) {
    widen_pack(pack, values);
  } else {
    const auto words = std::bit_cast<detail::PairWords<Pack<T, count>>>(pack);
#pragma unroll
    for (int i = 0; i < words.count; ++i) {
      if constexpr (std::same_as<T, bf16>) {
        values[2 * i] = std::bit_cast<float>(words.at[i] << 16);
        values[2 * i + 1] = std::bit_cast<float>(words.at[i] & 0xFFFF'0000u);
      } else {
        const float2 pair = __half22float2(detail::as_pair<T>(words.at[i]));
        values[2 * i] = pair.x, values[2 * i + 1] = pair.y;
      }
    }
  }
}

/// The values as T, rounded as T(value) rounds them.
template <class T, int count>
__device__ Pack<T, count> round_words(const float (&values)[count]) {
  if constexpr (!detail::lies_in_words<T, count>) {
    return round_pack<T>(values);
  } else {
    detail::PairWords<Pack<T, count>> words;
#pragma unroll
    for (int i = 0; i < words.count; ++i) {
      if constexpr (std::same_as<T, bf16>) {
        words.at[i] = detail::as_word<T>(__floats2bfloat162_rn(values[2 * i], values[2 * i + 1]));
      } else if constexpr (std::same_as<T, fp16>) {
        words.at[i] = detail::as_word<T>(__floats2half2_rn(values[2 * i], values[2 * i + 1]));
      } else {
        const float* four = values + 4 * i;
        const std::uint32_t low = __nv_cvt_float2_to_fp8x2({four[0], four[1]}, __NV_SATFINITE, __NV_E4M3),
                            high = __nv_cvt_float2_to_fp8x2({four[2], four[3]}, __NV_SATFINITE, __NV_E4M3);
        words.at[i] = low | high << 16;
      }
    }
    return std::bit_cast<Pack<T, count>>(words);
  }
}

/// T(float(a) * float(b)), element by element: a product of two-byte elements is exact in float32, so the
/// packed product rounds as it does.
template <class T, int count>
__device__ Pack<T, count> multiply_packs(const Pack<T, count>& a, const Pack<T, count>& b) {
  if constexpr (std::same_as<T, float>) {
    Pack<T, count> product;
#pragma unroll
    for (int i = 0; i < count; ++i) product.elements[i] = a.elements[i] * b.elements[i];
    return product;
  } else {
    using Words = detail::PairWords<Pack<T, count>>;
    const auto x = std::bit_cast<Words>(a), y = std::bit_cast<Words>(b);
    Words product;
#pragma unroll
    for (int i = 0; i < product.count; ++i)
      product.at[i] = detail::as_word<T>(__hmul2(detail::as_pair<T>(x.at[i]), detail::as_pair<T>(y.at[i])));
    return std::bit_cast<Pack<T, count>>(product);
  }
}

}  // namespace stepvideo
