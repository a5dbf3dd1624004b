// From a run-time value to a compile-time one.
#pragma once
#include <string>
#include <string_view>
#include <type_traits>

#include <stepvideo/core/error.hpp>

namespace stepvideo {

/// Calls `function(std::integral_constant<int, value>{})` for the one of `built` that equals `value`.
/// Throws RequestError naming `what`, the value and everything that is built.
///     dispatch<64, 128>("head dimension", dim, [&]<int dim>(std::integral_constant<int, dim>) { ... });
template <int... built, class Function>
void dispatch(std::string_view what, long long value, Function&& function) {
  const bool found =
      ((value == built ? (function(std::integral_constant<int, built>{}), true) : false) || ...);
  require(found, [&] {
    std::string list;
    ((list += (list.empty() ? "" : ", ") + std::to_string(built)), ...);
    return std::string(what) + " " + std::to_string(value) + " is not built; built are " + list;
  });
}

}  // namespace stepvideo
