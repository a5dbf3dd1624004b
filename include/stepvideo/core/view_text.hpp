// A view's shape as error messages write it.
#pragma once
#include <initializer_list>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// "(2, 3, 4)"
inline std::string extents_text(std::initializer_list<index_t> extents) {
  std::string text;
  for (const index_t extent : extents) {
    text += text.empty() ? "(" : ", ";
    text += std::to_string(extent);
  }
  text += ')';
  return text;
}

template <class T>
std::string shape_text(const MatrixView<T>& view) {
  return extents_text({view.rows, view.columns});
}
template <class T>
std::string shape_text(const TokensView<T>& view) {
  return extents_text({view.batch, view.tokens, view.width});
}
template <class T>
std::string shape_text(const HeadsView<T>& view) {
  return extents_text({view.batch, view.tokens, view.heads, view.dim});
}

template <class T>
std::string shape_text(const VideoView<T>& view) {
  return extents_text({view.frames, view.height, view.width, view.channels});
}

/// Throws RequestError where a view has elements and no data. `name` is what the message calls it.
template <class T>
void require_data(const char* name, const HeadsView<T>& view) {
  require(view.data != nullptr || view.batch * view.tokens * view.heads * view.dim == 0, [&] {
    return std::string(name) + " are " + shape_text(view) +
           " and have no data; a view of so many elements needs some";
  });
}

}  // namespace stepvideo
