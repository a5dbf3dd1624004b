// From a dtype that is known when a file is read to the C++ type of its elements.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>

#include "io/safetensors.hpp"

namespace stepvideo::io {

/// An element that is stored only: the upper half of a half.
struct StoredE5m2 {
  std::uint8_t bits = 0;

  static constexpr StoredE5m2 from_bits(std::uint8_t bits) { return {bits}; }
  operator float() const {
    return static_cast<float>(fp16::from_bits(static_cast<std::uint16_t>(bits << 8)));
  }
};

/// Calls `function(Stored{})` with the type that stores `dtype`. bool is read as a byte: other bytes than 0
/// and 1 would be undefined.
template <class Function>
void with_stored_type(Dtype dtype, Function&& function) {
  switch (dtype) {
    case Dtype::f64:
      return function(double{});
    case Dtype::f32:
      return function(float{});
    case Dtype::f16:
      return function(fp16{});
    case Dtype::bf16:
      return function(stepvideo::bf16{});
    case Dtype::f8_e4m3:
      return function(fp8_e4m3{});
    case Dtype::f8_e5m2:
      return function(StoredE5m2{});
    case Dtype::i64:
      return function(std::int64_t{});
    case Dtype::i32:
      return function(std::int32_t{});
    case Dtype::i16:
      return function(std::int16_t{});
    case Dtype::i8:
      return function(std::int8_t{});
    case Dtype::u64:
      return function(std::uint64_t{});
    case Dtype::u32:
      return function(std::uint32_t{});
    case Dtype::u16:
      return function(std::uint16_t{});
    case Dtype::u8:
    case Dtype::boolean:
      return function(std::uint8_t{});
  }
}

/// Element i of stored bytes, which need not be aligned to it.
template <class Stored>
Stored stored_element(std::span<const std::byte> bytes, index_t i) {
  Stored value;
  std::memcpy(&value, bytes.data() + static_cast<std::size_t>(i) * sizeof(Stored), sizeof(Stored));
  return value;
}

}  // namespace stepvideo::io
