// Views that show something must have it.
#pragma once
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

template <class T>
constexpr index_t element_count(const VectorView<T>& view) {
  return view.size;
}
template <class T>
constexpr index_t element_count(const MatrixView<T>& view) {
  return view.rows * view.columns;
}
template <class T>
constexpr index_t element_count(const TokensView<T>& view) {
  return view.batch * view.tokens * view.width;
}
template <class T>
constexpr index_t element_count(const HeadsView<T>& view) {
  return view.batch * view.tokens * view.heads * view.dim;
}
/// A dense view counts its own.
template <class View>
requires requires(const View& view) {
  view.size();
}
constexpr index_t element_count(const View& view) {
  return view.size();
}

/// Throws RequestError naming `view` unless it has data or shows no element.
template <class View>
void require_data(const char* kernel, const char* name, const View& view) {
  require(view.data != nullptr || element_count(view) == 0, [&] {
    return std::string(kernel) + ": " + name + " has no data for its " + std::to_string(element_count(view)) +
           " elements";
  });
}

}  // namespace stepvideo
