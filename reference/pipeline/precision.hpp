// The arithmetic a run was asked for, and from it to an element type.
#pragma once
#include <stepvideo/core/element.hpp>

namespace stepvideo::pipeline {

enum class Precision { fp32, bf16 };

constexpr const char* to_string(Precision precision) {
  return precision == Precision::bf16 ? "bf16" : "fp32";
}

/// Calls `function.template operator()<T>()` with the element type of the precision.
template <class Function>
decltype(auto) with_element(Precision precision, Function&& function) {
  if (precision == Precision::bf16) return function.template operator()<bf16>();
  return function.template operator()<float>();
}

}  // namespace stepvideo::pipeline
