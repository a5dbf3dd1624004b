// Neighbouring elements that move between memory and registers as words of up to 16 bytes, and between
// element types as the words of 4 bytes that registers hold.
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/nvcc.cuh>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// The widest access of a thread, in bytes.
inline constexpr int widest_access_bytes = 16;

/// `count` neighbouring elements, a power of two; aligned to the words it moves as.
template <class T, int count>
struct alignas(sizeof(T) * count < widest_access_bytes ? sizeof(T) * count : widest_access_bytes) Pack {
  T elements[count];
};

/// Whether packs of `count` elements may be read or written at `data` and at every multiple of the strides.
template <int count>
bool packs_fit(const void* data, std::same_as<index_t> auto... strides) {
  return reinterpret_cast<std::uintptr_t>(data) % widest_access_bytes == 0 && ((strides % count == 0) && ...);
}

/// Where in a row a thread's pack lies. The offset is a constant of an unrolled loop: apart from the rest it
/// becomes part of the access and costs no arithmetic.
struct PackColumn {
  int first, offset = 0;

  template <class T>
  __device__ T* of(T* row) const {
    return row + first + offset;
  }
  __device__ bool is_within(int width) const { return first < width - offset; }
};

/// A pack as the words that it lies in.
template <class P, class WordType>
struct alignas(P) PackWords {
  static_assert(sizeof(P) % sizeof(WordType) == 0);
  using Word = WordType;
  static constexpr int count = sizeof(P) / sizeof(Word);
  Word at[count];
};

namespace tile_detail {

template <std::size_t bytes>
using WordOf = std::conditional_t<
    bytes >= 16, uint4,
    std::conditional_t<bytes == 8, uint2,
                       std::conditional_t<bytes == 4, unsigned,
                                          std::conditional_t<bytes == 2, unsigned short, unsigned char>>>>;

/// As memory moves it.
template <class P>
using MemoryWords = PackWords<P, WordOf<sizeof(P)>>;

template <int count, class T, class LoadWord>
__device__ Pack<std::remove_const_t<T>, count> load_words(T* source, LoadWord&& load_word) {
  using P = Pack<std::remove_const_t<T>, count>;
  MemoryWords<P> loaded;
  const auto* words = reinterpret_cast<const typename MemoryWords<P>::Word*>(source);
#pragma unroll
  for (int i = 0; i < loaded.count; ++i) loaded.at[i] = load_word(words + i);
  return std::bit_cast<P>(loaded);
}

/// Whether a pack's registers hold several of its elements each. Element by element, the compiler splits and
/// joins such words with two more instructions an element, which keeps fused kernels from the memory's pace.
template <class T, int count>
inline constexpr bool shares_registers = sizeof(T) < 4 && sizeof(T) * count % sizeof(std::uint32_t) == 0;

/// As registers hold it.
template <class P>
using RegisterWords = PackWords<P, std::uint32_t>;

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

}  // namespace tile_detail

template <int count, class T>
__device__ Pack<std::remove_const_t<T>, count> load_pack(T* source) {
  return tile_detail::load_words<count>(source, [](const auto* word) { return *word; });
}

/// A pack that is read once and leaves the caches first.
template <int count, class T>
__device__ Pack<std::remove_const_t<T>, count> load_pack_once(T* source) {
  return tile_detail::load_words<count>(source, [](const auto* word) { return __ldcs(word); });
}

/// A pack that nothing writes while the kernel runs and that every row meets again: a weight. The compiler
/// may move the load across stores.
template <int count, class T>
__device__ Pack<std::remove_const_t<T>, count> load_constant_pack(T* source) {
  return tile_detail::load_words<count>(source, [](const auto* word) { return __ldg(word); });
}

template <class T, int count>
__device__ void store_pack(T* target, const Pack<T, count>& pack) {
  using Words = tile_detail::MemoryWords<Pack<T, count>>;
  const auto stored = std::bit_cast<Words>(pack);
  auto* words = reinterpret_cast<typename Words::Word*>(target);
#pragma unroll
  for (int i = 0; i < stored.count; ++i) words[i] = stored.at[i];
}

/// Stores a pack that nothing reads before it has left the caches.
template <class T, int count>
__device__ void store_pack_once(T* target, const Pack<T, count>& pack) {
  using Words = tile_detail::MemoryWords<Pack<T, count>>;
  const auto stored = std::bit_cast<Words>(pack);
  auto* words = reinterpret_cast<typename Words::Word*>(target);
#pragma unroll
  for (int i = 0; i < stored.count; ++i) __stcs(words + i, stored.at[i]);
}

/// values = pack, as floats.
template <class T, int count>
__device__ void widen_pack(const Pack<T, count>& pack, float (&values)[count]) {
  if constexpr (!tile_detail::shares_registers<T, count> || sizeof(T) == 1) {
#pragma unroll
    for (int i = 0; i < count; ++i) values[i] = float(pack.elements[i]);
  } else {
    const auto words = std::bit_cast<tile_detail::RegisterWords<Pack<T, count>>>(pack);
#pragma unroll
    for (int i = 0; i < words.count; ++i) {
      if constexpr (std::same_as<T, bf16>) {
        // The upper half of the word is a float already.
        values[2 * i] = std::bit_cast<float>(words.at[i] << 16);
        values[2 * i + 1] = std::bit_cast<float>(words.at[i] & 0xFFFF'0000u);
      } else {
        const float2 pair = __half22float2(tile_detail::as_pair<T>(words.at[i]));
        values[2 * i] = pair.x, values[2 * i + 1] = pair.y;
      }
    }
  }
}

/// The values as T, rounded as T(value) rounds them; pairs take one instruction of the GPU.
template <class T, int count>
__device__ Pack<T, count> round_pack(const float (&values)[count]) {
  if constexpr (!tile_detail::shares_registers<T, count>) {
    Pack<T, count> pack;
#pragma unroll
    for (int i = 0; i < count; ++i) pack.elements[i] = T(values[i]);
    return pack;
  } else {
    tile_detail::RegisterWords<Pack<T, count>> words;
#pragma unroll
    for (int i = 0; i < words.count; ++i) {
      if constexpr (std::same_as<T, bf16>) {
        words.at[i] = tile_detail::as_word<T>(__floats2bfloat162_rn(values[2 * i], values[2 * i + 1]));
      } else if constexpr (std::same_as<T, fp16>) {
        words.at[i] = tile_detail::as_word<T>(__floats2half2_rn(values[2 * i], values[2 * i + 1]));
      } else {
        static_assert(std::same_as<T, fp8_e4m3>);
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
    using Words = tile_detail::RegisterWords<Pack<T, count>>;
    const auto x = std::bit_cast<Words>(a), y = std::bit_cast<Words>(b);
    Words product;
#pragma unroll
    for (int i = 0; i < product.count; ++i)
      product.at[i] = tile_detail::as_word<T>(
          __hmul2(tile_detail::as_pair<T>(x.at[i]), tile_detail::as_pair<T>(y.at[i])));
    return std::bit_cast<Pack<T, count>>(product);
  }
}

}  // namespace stepvideo
