// Checkpoint::load: from the stored dtype to the one that is computed in.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/checkpoint.hpp"
#include "io/json.hpp"

namespace stepvideo::io {
namespace {

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
    case Dtype::i64:
      return function(std::int64_t{});
    case Dtype::i32:
      return function(std::int32_t{});
    case Dtype::i16:
      return function(std::int16_t{});
    case Dtype::i8:
      return function(std::int8_t{});
    case Dtype::u8:
    case Dtype::boolean:
      return function(std::uint8_t{});
  }
}

/// The data of a file need not be aligned to its elements.
template <class Stored>
Stored element(const TensorRecord& record, index_t i) {
  Stored value;
  std::memcpy(&value, record.bytes.data() + static_cast<std::size_t>(i) * sizeof(Stored), sizeof(Stored));
  return value;
}

constexpr index_t none = std::numeric_limits<index_t>::max();

/// Converts every element; returns the index of the first for which `convert` is false, or `none`.
template <class Stored, class Convert>
index_t convert_all(const TensorRecord& record, index_t count, Convert convert) {
  index_t first_bad = none;
#pragma omp parallel for schedule(static) reduction(min : first_bad)
  for (index_t i = 0; i < count; ++i)
    if (!convert(i, element<Stored>(record, i)) && i < first_bad) first_bad = i;
  return first_bad;
}

}  // namespace

template <Element T>
Buffer<T> Checkpoint::load(const std::string& name) const {
  const TensorRecord& record = at(name);
  Buffer<T> values(element_count(record.shape));
  with_stored_type(record.dtype, [&]<class Stored>(Stored) {
    if constexpr (std::is_integral_v<Stored>) {
      throw RequestError(fmt::format("{}: tensor {} has dtype {}; floating point is due", path_.string(),
                                     in_quotes(name), dtype_name(record.dtype)));
    } else {
      const index_t bad = convert_all<Stored>(record, values.size(), [&](index_t i, Stored stored) {
        values[i] = T(static_cast<float>(stored));
        return std::isfinite(static_cast<float>(values[i]));
      });
      require(bad == none, [&] {
        const double stored = static_cast<double>(element<Stored>(record, bad));
        const std::string found = std::isnan(stored) ? "NaN" : fmt::format("{}", stored);
        return fmt::format("{}: tensor {} holds {} at element {}; every value must be finite as {}",
                           path_.string(), in_quotes(name), found, bad, element_name<T>);
      });
    }
  });
  return values;
}

template Buffer<float> Checkpoint::load<float>(const std::string&) const;
template Buffer<bf16> Checkpoint::load<bf16>(const std::string&) const;

Buffer<std::int32_t> Checkpoint::load_integers(const std::string& name) const {
  const TensorRecord& record = at(name);
  Buffer<std::int32_t> values(element_count(record.shape));
  with_stored_type(record.dtype, [&]<class Stored>(Stored) {
    const index_t bad = convert_all<Stored>(record, values.size(), [&](index_t i, Stored stored) {
      constexpr double low = std::numeric_limits<std::int32_t>::min(),
                       high = std::numeric_limits<std::int32_t>::max();
      const double value = static_cast<double>(stored);
      if (!(value >= low && value <= high && value == std::trunc(value))) return false;
      values[i] = static_cast<std::int32_t>(value);
      return true;
    });
    require(bad == none, [&] {
      return fmt::format("{}: tensor {} holds {} at element {}; whole numbers of 32 bits are due",
                         path_.string(), in_quotes(name), static_cast<double>(element<Stored>(record, bad)),
                         bad);
    });
  });
  return values;
}

}  // namespace stepvideo::io
