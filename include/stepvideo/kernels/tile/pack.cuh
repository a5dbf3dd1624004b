// Neighbouring elements that move between memory and registers as words of up to 16 bytes.
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <stepvideo/core/element.hpp>
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

namespace detail {

template <std::size_t bytes>
using WordOf = std::conditional_t<
    bytes >= 16, uint4,
    std::conditional_t<bytes == 8, uint2,
                       std::conditional_t<bytes == 4, unsigned,
                                          std::conditional_t<bytes == 2, unsigned short, unsigned char>>>>;

template <class P>
struct Words {
  using Word = WordOf<sizeof(P)>;
  static constexpr int count = sizeof(P) / sizeof(Word);
  Word words[count];
};

}  // namespace detail

namespace detail {

template <int count, class T, class LoadWord>
__device__ Pack<std::remove_const_t<T>, count> load_words(T* source, LoadWord&& load_word) {
  using P = Pack<std::remove_const_t<T>, count>;
  Words<P> loaded;
  const auto* words = reinterpret_cast<const typename Words<P>::Word*>(source);
#pragma unroll
  for (int i = 0; i < loaded.count; ++i) loaded.words[i] = load_word(words + i);
  return std::bit_cast<P>(loaded);
}

}  // namespace detail

template <int count, class T>
__device__ Pack<std::remove_const_t<T>, count> load_pack(T* source) {
  return detail::load_words<count>(source, [](const auto* word) { return *word; });
}

/// A pack that is read once and leaves the caches first.
template <int count, class T>
__device__ Pack<std::remove_const_t<T>, count> load_pack_once(T* source) {
  return detail::load_words<count>(source, [](const auto* word) { return __ldcs(word); });
}

/// A pack that nothing writes while the kernel runs and that every row meets again: a weight. The compiler
/// may move the load across stores.
template <int count, class T>
__device__ Pack<std::remove_const_t<T>, count> load_constant_pack(T* source) {
  return detail::load_words<count>(source, [](const auto* word) { return __ldg(word); });
}

/// Stores a pack that nothing reads before it has left the caches.
template <class T, int count>
__device__ void store_pack_once(T* target, const Pack<T, count>& pack) {
  const auto stored = std::bit_cast<detail::Words<Pack<T, count>>>(pack);
  auto* words = reinterpret_cast<typename detail::Words<Pack<T, count>>::Word*>(target);
#pragma unroll
  for (int i = 0; i < stored.count; ++i) __stcs(words + i, stored.words[i]);
}

/// values = pack, as floats.
template <class T, int count>
__device__ void widen_pack(const Pack<T, count>& pack, float (&values)[count]) {
  if constexpr (std::same_as<T, bf16> && count > 1) {
    // A pair is a word whose upper half is a float already: one instruction an element.
    struct Pairs {
      unsigned words[count / 2];
    };
    const auto pairs = std::bit_cast<Pairs>(pack);
#pragma unroll
    for (int i = 0; i < count; i += 2) {
      values[i] = std::bit_cast<float>(pairs.words[i / 2] << 16);
      values[i + 1] = std::bit_cast<float>(pairs.words[i / 2] & 0xFFFF'0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < count; ++i) values[i] = float(pack.elements[i]);
  }
}

/// The values as T, rounded as T(value) rounds them; pairs take one instruction of the GPU.
template <class T, int count>
__device__ Pack<T, count> round_pack(const float (&values)[count]) {
  Pack<T, count> pack;
  if constexpr (std::same_as<T, float> || count == 1) {
#pragma unroll
    for (int i = 0; i < count; ++i) pack.elements[i] = T(values[i]);
  } else {
    struct Pair {
      T first, second;
    };
#pragma unroll
    for (int i = 0; i < count; i += 2) {
      Pair pair;
      if constexpr (std::same_as<T, bf16>) {
        pair = std::bit_cast<Pair>(__nv_bfloat162_raw(__floats2bfloat162_rn(values[i], values[i + 1])));
      } else if constexpr (std::same_as<T, fp16>) {
        pair = std::bit_cast<Pair>(__half2_raw(__floats2half2_rn(values[i], values[i + 1])));
      } else {
        static_assert(std::same_as<T, fp8_e4m3>);
        pair = std::bit_cast<Pair>(
            __nv_cvt_float2_to_fp8x2({values[i], values[i + 1]}, __NV_SATFINITE, __NV_E4M3));
      }
      pack.elements[i] = pair.first, pack.elements[i + 1] = pair.second;
    }
  }
  return pack;
}

}  // namespace stepvideo
