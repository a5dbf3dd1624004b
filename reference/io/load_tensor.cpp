// Checkpoint::load: from the stored dtype to the one that is computed in.
#include <cmath>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/checkpoint.hpp"
#include "io/json.hpp"
#include "io/stored_type.hpp"

namespace stepvideo::io {
namespace {

constexpr index_t none = std::numeric_limits<index_t>::max();

/// Converts every element; returns the index of the first for which `convert` is false, or `none`.
template <class Stored, class Convert>
index_t convert_all(const TensorRecord& record, index_t count, Convert convert) {
  index_t first_bad = none;
#pragma omp parallel for schedule(static) reduction(min : first_bad)
  for (index_t i = 0; i < count; ++i)
    if (!convert(i, stored_element<Stored>(record.bytes, i)) && i < first_bad) first_bad = i;
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
        const double stored = static_cast<double>(stored_element<Stored>(record.bytes, bad));
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
                         path_.string(), in_quotes(name),
                         static_cast<double>(stored_element<Stored>(record.bytes, bad)), bad);
    });
  });
  return values;
}

}  // namespace stepvideo::io
