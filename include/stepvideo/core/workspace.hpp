// Scratch memory that the caller owns. A kernel that needs some has a companion `..._workspace(...)` that
// says how many bytes, and takes its slices from the Workspace it is handed; it allocates nothing itself.
#pragma once
#include <cstddef>
#include <string>

#include <stepvideo/core/buffer.hpp>

namespace stepvideo {

/// A slice's size in a workspace: `count` elements of T, rounded up so that the next slice stays aligned.
template <class T>
constexpr std::size_t workspace_bytes(index_t count) {
  const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
  return (bytes + storage_alignment - 1) / storage_alignment * storage_alignment;
}

/// Hands out slices of one block, front to back. Copy it to give a callee the rest and take it back after.
class Workspace {
 public:
  Workspace() = default;
  Workspace(void* memory, std::size_t bytes) : next_(static_cast<std::byte*>(memory)), left_(bytes) {}
  template <Execution E>
  explicit Workspace(const Buffer<std::byte, E>& buffer) : Workspace(buffer.data(), buffer.size_bytes()) {}

  /// The next `count` elements of T. Throws RequestError when the workspace is too small.
  template <class T>
  T* take(index_t count) {
    const std::size_t bytes = workspace_bytes<T>(count);
    require(bytes <= left_, [&] {
      return "the workspace has " + std::to_string(left_) + " bytes left and the kernel needs " +
             std::to_string(bytes) + "; size it with the kernel's ..._workspace()";
    });
    std::byte* slice = next_;
    next_ += bytes;
    left_ -= bytes;
    return reinterpret_cast<T*>(slice);
  }
  std::size_t left_bytes() const { return left_; }

 private:
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace stepvideo
