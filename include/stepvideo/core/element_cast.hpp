// Pointers to other libraries' elements.
#pragma once
#include <type_traits>

#include <stepvideo/core/element.hpp>

namespace stepvideo {

/// An element of another library that has the bytes of T: __nv_bfloat16, c10::BFloat16 (at::BFloat16) or
/// std::uint16_t for bf16, __half for fp16, __nv_fp8_e4m3 for fp8_e4m3. Arithmetic types of the same size
/// mean other numbers and are no such element, but for the unsigned ones, which hold bits.
template <class Foreign, class T>
concept SameBytesAs = Element<T> && sizeof(Foreign) == sizeof(T) &&
                      alignof(Foreign) == alignof(T) && std::is_trivially_copyable_v<Foreign> &&
                      (std::is_same_v<Foreign, T> || !std::is_arithmetic_v<Foreign> ||
                       std::is_unsigned_v<Foreign>);

/// The same elements as T, for a view: `element_cast<bf16>(tensor.data_ptr<at::BFloat16>())`.
template <Element T, SameBytesAs<T> Foreign>
T* element_cast(Foreign* elements) {
  return reinterpret_cast<T*>(elements);
}
template <Element T, SameBytesAs<T> Foreign>
const T* element_cast(const Foreign* elements) {
  return reinterpret_cast<const T*>(elements);
}

}  // namespace stepvideo
