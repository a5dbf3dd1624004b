// What several ranks contribute becomes its sum.
#pragma once
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// What can be added up.
template <class T>
concept Summable = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16> ||
    std::same_as<T, fp16> || std::integral<T>;

/// The sum of `value(part)` in the parts' order, as everything that adds up ranks' contributions makes it: in
/// float32 for 16-bit floats, rounded once.
template <Summable T, class Value>
T sum_in_order(std::size_t parts, Value&& value) {
  using Sum = std::conditional_t<sizeof(T) == 2 && !std::integral<T>, float, T>;
  Sum sum(value(0));
  for (std::size_t part = 1; part < parts; ++part) sum = static_cast<Sum>(sum + Sum(value(part)));
  return T(sum);
}

/// What sum_parts requires, on any execution.
template <class T>
void require_parts(MatrixView<const T> parts, VectorView<T> sum) {
  require(parts.rows > 0 && parts.columns == sum.size, [&] {
    return "sum_parts: " + std::to_string(parts.rows) + " parts of " + std::to_string(parts.columns) +
           " elements become a sum of " + std::to_string(sum.size) +
           "; there must be a part, and each must be as long as the sum";
  });
}

/// sum[i] = parts(0, i) + parts(1, i) + ..., in that order; parts (ranks, elements). `sum` may be what a part
/// was copied from, not a part. Throws RequestError where they disagree.
template <Summable T>
void sum_parts(Host, std::type_identity_t<MatrixView<const T>> parts, VectorView<T> sum) {
  require_parts<T>(parts, sum);
  for (index_t i = 0; i < sum.size; ++i)
    sum[i] = sum_in_order<T>(static_cast<std::size_t>(parts.rows),
                             [&](std::size_t part) { return parts.row(static_cast<index_t>(part))[i]; });
}

}  // namespace stepvideo
