// Owning storage for elements, in the memory of an execution.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstring>
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
/// allocate_bytes and release_bytes are in core/device.cuh; a buffer on a stream must end before the stream
/// does (core/gpu.cuh has an owner of streams that sees to it).
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
  // Only the host reads its memory element by element.
  T* begin() const requires std::same_as<E, Host> { return data_; }
  T* end() const requires std::same_as<E, Host> { return data_ + size_; }
  T& operator[](index_t i) const requires std::same_as<E, Host> { return data_[i]; }

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

/// Throws RequestError unless a copy of `from` elements fills a buffer of `to`.
inline void require_copy_fits(index_t from, index_t to) {
  require(from == to, [&] {
    return "a copy of " + std::to_string(from) + " elements does not fit a buffer of " + std::to_string(to);
  });
}

/// Copies between equal sizes; the device's is in core/device.cuh. Throws RequestError where they differ.
template <class T>
void copy(Host, const Buffer<T>& from, const Buffer<T>& to) {
  require_copy_fits(from.size(), to.size());
  if (from.size() > 0) std::memcpy(to.data(), from.data(), from.size_bytes());
}

/// Copies within the memory of the execution.
template <class T>
void copy(Host, VectorView<const T> from, VectorView<T> to) {
  require_copy_fits(from.size, to.size);
  if (from.size > 0) std::memcpy(to.data, from.data, static_cast<std::size_t>(from.size) * sizeof(T));
}

/// Values of the host to the memory of the execution, and back; `size` is the view's. The host's may be used
/// again when these return.
template <class T>
void upload(Host, const T* from, VectorView<T> to) {
  copy(host, VectorView<const T>{from, to.size}, to);
}
template <class T>
void download(Host, VectorView<T> from, std::remove_const_t<T>* to) {
  copy(host, VectorView<const T>(from), VectorView<std::remove_const_t<T>>{to, from.size});
}

/// The host's kernels are done when they return: nothing to wait for.
inline void synchronize(Host) {}

}  // namespace stepvideo
