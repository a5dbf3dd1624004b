// Owning storage for elements, in the memory of an execution.
#pragma once
#include <cstddef>
#include <limits>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// Alignment of every allocation, in bytes: a cache line, and the widest vector register.
inline constexpr std::size_t storage_alignment = 64;

/// Uninitialised host memory. Throws Error when there is none left.
inline void* allocate_bytes(Host, std::size_t bytes) {
  void* memory = ::operator new (bytes, std::align_val_t{storage_alignment}, std::nothrow);
  if (memory == nullptr)
    throw Error("out of memory: " + std::to_string(bytes) + " bytes were asked of the host");
  return memory;
}
inline void release_bytes(Host, void* memory) noexcept {
  ::operator delete (memory, std::align_val_t{storage_alignment});
}

/// `size` elements of T in the memory of `E`; uninitialised; movable, not copyable. The device's
/// allocate_bytes and release_bytes are in core/device.cuh.
template <class T, Execution E = Host>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  Buffer(E execution, index_t size) : execution_(execution), size_(size) {
    require(size >= 0 && static_cast<std::size_t>(size) <= std::numeric_limits<index_t>::max() / sizeof(T),
            [&] { return "a buffer of " + std::to_string(size) + " elements cannot be made"; });
    if (size > 0)
      data_ = static_cast<T*>(allocate_bytes(execution, static_cast<std::size_t>(size) * sizeof(T)));
  }
  explicit Buffer(index_t size) : Buffer(E{}, size) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release_bytes(execution_, const_cast<std::remove_const_t<T>*>(data_));
  }

  T* data() const { return data_; }
  index_t size() const { return size_; }
  std::size_t size_bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }
  E execution() const { return execution_; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  T& operator[](index_t i) const { return data_[i]; }

  VectorView<T> vector() const { return {data_, size_}; }
  MatrixView<T> matrix(index_t rows, index_t columns) const {
    return MatrixView<T>::dense(data_, rows, columns);
  }

  void swap(Buffer& other) noexcept {
    std::swap(execution_, other.execution_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

 private:
  E execution_{};
  T* data_ = nullptr;
  index_t size_ = 0;
};

}  // namespace stepvideo
