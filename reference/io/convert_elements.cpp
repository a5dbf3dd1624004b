#include "io/convert_elements.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/round_into.hpp>

#include "io/stored_type.hpp"

namespace stepvideo::io {
namespace {

/// The bits that NaN and infinities have all of. (fp8 has no infinities: floats saturate.)
template <Element T>
constexpr std::uint32_t non_finite_bits = 0x7F80'0000u;
template <>
constexpr std::uint32_t non_finite_bits<bf16> = 0x7F80u;
template <>
constexpr std::uint32_t non_finite_bits<fp16> = 0x7C00u;
template <>
constexpr std::uint32_t non_finite_bits<fp8_e4m3> = 0x7Fu;

template <Element T>
constexpr bool is_finite(T value) {
  std::uint32_t bits = 0;
  if constexpr (std::same_as<T, float>)
    bits = std::bit_cast<std::uint32_t>(value);
  else
    bits = value.bits;
  return (bits & non_finite_bits<T>) != non_finite_bits<T>;
}

/// Whether every element is finite; the loop has no way out, so that it vectorises.
template <Element T>
bool all_finite(const T* values, index_t count) {
  unsigned bad = 0;
#pragma omp simd reduction(| : bad)
  for (index_t i = 0; i < count; ++i) bad |= is_finite(values[i]) ? 0u : 1u;
  return bad == 0;
}

/// Compilers do not vectorise these conversions: a table of all values is three times as fast.
template <class Stored>
concept LookedUp =
    std::same_as<Stored, fp16> || std::same_as<Stored, fp8_e4m3> || std::same_as<Stored, StoredE5m2>;

/// What each pattern of bits becomes.
template <LookedUp Stored, Element T>
const T* table_of() {
  static const std::vector<T> table = [] {
    std::vector<T> values(std::size_t{1} << 8 * sizeof(Stored));
    for (std::size_t bits = 0; bits < values.size(); ++bits)
      values[bits] = T(float(Stored::from_bits(static_cast<decltype(Stored::bits)>(bits))));
    return values;
  }();
  return table.data();
}

template <class Stored, Element T>
void convert_block(const std::byte* source, index_t count, T* out) {
  const auto at = [&](index_t i) {
    Stored value;
    std::memcpy(&value, source + static_cast<std::size_t>(i) * sizeof(Stored), sizeof(Stored));
    return value;
  };
  if constexpr (std::same_as<Stored, T>) {
    std::memcpy(out, source, static_cast<std::size_t>(count) * sizeof(T));
  } else if constexpr (LookedUp<Stored>) {
    const T* table = table_of<Stored, T>();
    for (index_t i = 0; i < count; ++i) out[i] = table[at(i).bits];
  } else {
#pragma omp simd
    for (index_t i = 0; i < count; ++i) round_into(out[i], static_cast<float>(at(i)));
  }
}

/// The index of the first element that is not finite, or every_element.
template <Element T>
index_t first_non_finite(const T* values, index_t count) {
  if (all_finite(values, count)) return every_element;
  return std::find_if(values, values + count, [](T value) { return !is_finite(value); }) - values;
}

/// A block stays in the first cache between two loops over it.
constexpr index_t block_elements = 4096;

template <class Stored, Element T>
index_t convert_to(const std::byte* source, index_t count, T* out) {
  for (index_t first = 0; first < count; first += block_elements) {
    const index_t size = std::min(block_elements, count - first);
    convert_block<Stored>(source + static_cast<std::size_t>(first) * sizeof(Stored), size, out + first);
    if (const index_t bad = first_non_finite(out + first, size); bad != every_element) return first + bad;
  }
  return every_element;
}

/// Calls `function(T{})` with the element that `kept` names.
template <class Function>
void with_kept_element(Dtype kept, Function&& function) {
  with_stored_type(kept, [&]<class T>(T element) {
    if constexpr (Element<T>)
      function(element);
    else
      throw RequestError(
          fmt::format("tensors are not kept as {}; F32, F16, BF16 and F8_E4M3 work", dtype_name(kept)));
  });
}

}  // namespace

index_t convert_elements(const TensorRecord& stored, index_t first, index_t count, Dtype kept,
                         std::byte* out) {
  index_t bad = every_element;
  with_stored_type(stored.dtype, [&]<class Stored>(Stored) {
    if constexpr (!std::is_integral_v<Stored>)
      with_kept_element(kept, [&]<class T>(T) {
        const std::byte* source = stored.bytes.data() + static_cast<std::size_t>(first) * sizeof(Stored);
        bad = convert_to<Stored>(source, count, reinterpret_cast<T*>(out));
      });
  });
  return bad == every_element ? bad : first + bad;
}

index_t find_non_finite(Dtype kept, const std::byte* values, index_t count) {
  index_t bad = every_element;
  with_kept_element(kept,
                    [&]<class T>(T) { bad = first_non_finite(reinterpret_cast<const T*>(values), count); });
  return bad;
}

void require_floating_point(std::string_view tensor, Dtype stored) {
  require(is_floating_point(stored),
          [&] { return fmt::format("{} has dtype {}; floating point is due", tensor, dtype_name(stored)); });
}

void refuse_element(std::string_view tensor, const TensorRecord& stored, index_t index, Dtype kept) {
  std::string found;
  std::string_view name;
  with_stored_type(stored.dtype, [&]<class Stored>(Stored) {
    const auto value = static_cast<double>(stored_element<Stored>(stored.bytes, index));
    found = std::isnan(value) ? "NaN" : fmt::format("{}", value);
  });
  with_kept_element(kept, [&]<class T>(T) { name = element_name<T>; });
  throw RequestError(
      fmt::format("{} holds {} at element {}; every value must be finite as {}", tensor, found, index, name));
}

}  // namespace stepvideo::io
