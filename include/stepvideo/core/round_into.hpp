// Storing a float as an element, in a form that compilers vectorise.
#pragma once
#include <concepts>

#include <stepvideo/core/element.hpp>

namespace stepvideo {

/// target = T(value). Assigning the class keeps GCC from vectorising a loop (it copies a temporary through
/// memory, ten times the time of a bf16 store); assigning its bits does not.
template <Element T>
constexpr void round_into(T& target, float value) {
  if constexpr (std::same_as<T, float>) {
    target = value;
  } else {
    target.bits = T(value).bits;
  }
}

}  // namespace stepvideo
