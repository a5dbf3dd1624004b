// What keeps accesses of 16 bytes, the widest of a thread and the unit of bulk copies, from an operand.
#pragma once
#include <cstdint>
#include <string>

#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// The first thing about an operand that wide accesses cannot work with; none where they can.
struct Misalignment {
  enum class Part { none, address, dim, batch_stride, token_stride, head_stride };

  const char* operand = "";  ///< What a message calls it: "queries".
  Part part = Part::none;
  index_t found = 0;  ///< Of the address, bytes past a multiple of 16; else elements.

  constexpr explicit operator bool() const { return part != Part::none; }
};

/// "the token stride of keys is 1027 elements, which is no multiple of 16 bytes"
inline std::string to_string(const Misalignment& in_the_way) {
  const std::string operand = in_the_way.operand, found = std::to_string(in_the_way.found);
  const char* part = "";
  switch (in_the_way.part) {
    case Misalignment::Part::none:
      return "nothing is in the way";
    case Misalignment::Part::address:
      return operand + " start " + found + " bytes past a multiple of 16";
    case Misalignment::Part::dim:
      part = "head dimension";
      break;
    case Misalignment::Part::batch_stride:
      part = "batch stride";
      break;
    case Misalignment::Part::token_stride:
      part = "token stride";
      break;
    case Misalignment::Part::head_stride:
      part = "head stride";
      break;
  }
  return std::string("the ") + part + " of " + operand + " is " + found + " elements, which is " +
         (in_the_way.found > 0 ? "no multiple of 16 bytes" : "not above zero");
}

namespace tile_detail {

template <class T, class Suits>
Misalignment first_misalignment(const char* operand, const HeadsView<T>& view, Suits&& suits) {
  using Part = Misalignment::Part;
  const index_t address = reinterpret_cast<std::uintptr_t>(view.data) % 16;
  if (address != 0) return {operand, Part::address, address};
  if (view.dim * index_t{sizeof(T)} % 16 != 0) return {operand, Part::dim, view.dim};
  const struct {
    Part part;
    index_t extent, stride;
  } steps[] = {{Part::batch_stride, view.batch, view.batch_stride},
               {Part::token_stride, view.tokens, view.token_stride},
               {Part::head_stride, view.heads, view.head_stride}};
  for (const auto& [part, extent, stride] : steps)
    if (extent > 1 && !suits(stride * index_t{sizeof(T)})) return {operand, part, stride};
  return {.operand = operand};
}

}  // namespace tile_detail

/// What keeps rows of whole 16 bytes at multiples of 16 bytes from a view. A stride that is not used, of an
/// extent of one, may be anything.
template <class T>
Misalignment misalignment(const char* operand, const HeadsView<T>& view) {
  return tile_detail::first_misalignment(operand, view, [](index_t bytes) { return bytes % 16 == 0; });
}

/// The same for bulk copies, whose strides are also above zero. Of a view without elements nothing is copied.
template <class T>
Misalignment bulk_misalignment(const char* operand, const HeadsView<T>& view) {
  if (view.batch * view.tokens * view.heads * view.dim == 0) return {.operand = operand};
  return tile_detail::first_misalignment(operand, view,
                                         [](index_t bytes) { return bytes % 16 == 0 && bytes > 0; });
}

/// The first of some that there is, or none.
template <class... More>
Misalignment first_of(const Misalignment& one, const More&... more) {
  if constexpr (sizeof...(more) > 0)
    if (!one) return first_of(more...);
  return one;
}

}  // namespace stepvideo
