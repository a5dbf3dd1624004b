// Checkpoint::load: from the stored dtype to the one that is computed in.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>
#include <stepvideo/kernels/tile/partition.hpp>

#include "io/checkpoint.hpp"
#include "io/convert_elements.hpp"
#include "io/stored_type.hpp"

namespace stepvideo::io {
namespace {

/// Converts every element; returns the index of the first for which `convert` is false, or every_element.
template <class Stored, class Convert>
index_t convert_all(const TensorRecord& record, index_t count, Convert convert) {
  index_t first_bad = every_element;
#pragma omp parallel for schedule(static) reduction(min : first_bad)
  for (index_t i = 0; i < count; ++i)
    if (!convert(i, stored_element<Stored>(record.bytes, i)) && i < first_bad) first_bad = i;
  return first_bad;
}

}  // namespace

template <Element T>
Buffer<T> Checkpoint::load(const std::string& name) const {
  Buffer<T> values(element_count(at(name).shape));
  read(name, values.vector());
  return values;
}

template <Element T>
void Checkpoint::read(const std::string& name, VectorView<T> into) const {
  const index_t count = element_count(at(name).shape);
  require(into.size == count, [&] {
    return fmt::format("{} has shape {}; it does not fill memory for {} elements", tensor_text(name),
                       to_string(at(name).shape), into.size);
  });
  read(name, {.count = count}, into);
}

template <Element T>
void Checkpoint::read(const std::string& name, const ElementRuns& part, VectorView<T> into) const {
  const TensorRecord& record = at(name);
  require_floating_point(tensor_text(name), record.dtype);
  require_no_scales(name);
  require(part.first >= 0 && part.count >= 0 && part.runs > 0 && part.stride >= 0 &&
              part.first + (part.runs - 1) * part.stride + part.count <= element_count(record.shape) &&
              into.size == part.size(),
          [&] {
            return fmt::format(
                "{} has shape {}; {} runs of {} elements, {} apart, from {} on, do not lie in it or do not "
                "fill memory for {}",
                tensor_text(name), to_string(record.shape), part.runs, part.count, part.stride, part.first,
                into.size);
          });
  const Partition blocks(part.count, index_t{1} << 18);
  index_t bad = every_element;
#pragma omp parallel for collapse(2) schedule(static) reduction(min : bad)
  for (index_t run = 0; run < part.runs; ++run)
    for (index_t block = 0; block < blocks.count(); ++block) {
      const index_t first = blocks.first(block);
      bad =
          std::min(bad, convert_elements(record, part.first + run * part.stride + first, blocks.extent(block),
                                         dtype_of<T>,
                                         reinterpret_cast<std::byte*>(into.data + run * part.count + first)));
    }
  if (bad != every_element) refuse_element(tensor_text(name), record, bad, dtype_of<T>);
}

void Checkpoint::read_codes(const std::string& name, VectorView<fp8_e4m3> into) const {
  const TensorRecord& record = at(name);
  require(record.dtype == Dtype::f8_e4m3 && element_count(record.shape) == into.size, [&] {
    return fmt::format("{} is {} of shape {}; {} elements of F8_E4M3 are due", tensor_text(name),
                       dtype_name(record.dtype), to_string(record.shape), into.size);
  });
  auto* const target = reinterpret_cast<std::byte*>(into.data);
  std::memcpy(target, record.bytes.data(), record.bytes.size());
  const index_t bad = find_non_finite(Dtype::f8_e4m3, target, into.size);
  if (bad != every_element) refuse_element(tensor_text(name), record, bad, Dtype::f8_e4m3);
}

template Buffer<float> Checkpoint::load<float>(const std::string&) const;
template Buffer<bf16> Checkpoint::load<bf16>(const std::string&) const;
template void Checkpoint::read<float>(const std::string&, VectorView<float>) const;
template void Checkpoint::read<bf16>(const std::string&, VectorView<bf16>) const;
template void Checkpoint::read<float>(const std::string&, const ElementRuns&, VectorView<float>) const;
template void Checkpoint::read<bf16>(const std::string&, const ElementRuns&, VectorView<bf16>) const;

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
    require(bad == every_element, [&] {
      return fmt::format("{} holds {} at element {}; whole numbers of 32 bits are due", tensor_text(name),
                         static_cast<double>(stored_element<Stored>(record.bytes, bad)), bad);
    });
  });
  return values;
}

}  // namespace stepvideo::io
