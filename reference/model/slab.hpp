// Places in one contiguous piece of memory, given out before there is any: who plans and who runs count the
// same bytes.
#pragma once
#include <cstddef>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/workspace.hpp>

namespace stepvideo::model {

class Slab {
 public:
  /// The offset of `count` elements of `element_bytes` each, aligned as every allocation is.
  std::size_t add(index_t count, std::size_t element_bytes) {
    const std::size_t offset = bytes_;
    bytes_ += workspace_bytes<std::byte>(count * static_cast<index_t>(element_bytes));
    return offset;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

/// The elements that lie at `offset`.
template <class T>
T* at_offset(std::byte* memory, std::size_t offset) {
  return reinterpret_cast<T*>(memory + offset);
}

/// Memory that only grows. What it held is gone where it did.
template <Execution E>
void grow(E execution, Buffer<std::byte, E>& memory, std::size_t bytes) {
  if (bytes <= memory.size_bytes()) return;
  memory = {};  // before the larger one is taken
  memory = Buffer<std::byte, E>(execution, static_cast<index_t>(bytes));
}

}  // namespace stepvideo::model
