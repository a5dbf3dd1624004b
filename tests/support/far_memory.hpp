// Rows so far apart that indices pass 2^31, and memory of which they touch little.
#pragma once
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include <sys/mman.h>

#include <stepvideo/core/buffer.hpp>

#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

/// `bytes` of the host's memory, of which only pages that are written come to be.
class SparseMemory {
 public:
  SparseMemory(Host, std::size_t bytes) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) throw std::runtime_error("no address space for far rows");
  }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;
  ~SparseMemory() { munmap(data_, bytes_); }
  void* data() const { return data_; }

 private:
  std::size_t bytes_;
  void* data_ = nullptr;
};
inline void copy_bytes(Host, const void* from, void* to, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}

#ifdef __CUDACC__
/// All of it on a GPU.
class FarDeviceMemory {
 public:
  FarDeviceMemory(Device, std::size_t bytes) { check(cudaMalloc(&data_, bytes)); }
  FarDeviceMemory(const FarDeviceMemory&) = delete;
  FarDeviceMemory& operator=(const FarDeviceMemory&) = delete;
  ~FarDeviceMemory() { cudaFree(data_); }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};
inline void copy_bytes(Device on, const void* from, void* to, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on.stream));
  check(cudaStreamSynchronize(on.stream));
}
#endif

/// Rows of (batch, tokens, width), `apart` elements from one to the next; 2^30 apart, four rows reach over
/// 2^31 elements. `apart` keeps or leaves the grid of wide accesses.
template <class T, Execution E>
class FarRows {
#ifdef __CUDACC__
  using Memory = std::conditional_t<std::same_as<E, Host>, SparseMemory, FarDeviceMemory>;
#else
  using Memory = SparseMemory;
#endif

 public:
  /// Holds the rows of `dense`.
  FarRows(E on, const Buffer<T>& dense, index_t batch, index_t tokens, index_t apart)
      : on_(on),
        width_(dense.size() / (batch * tokens)),
        memory_(on, static_cast<std::size_t>(batch * tokens * apart) * sizeof(T)),
        view_{static_cast<T*>(memory_.data()), batch, tokens, width_, tokens * apart, apart} {
    for_each_row(
        [&](T* far, index_t row) { copy_bytes(on_, dense.data() + row * width_, far, row_bytes()); });
  }
  const TokensView<T>& view() const {
    return view_;
  }
  Buffer<T> dense() const {
    Buffer<T> values(view_.batch * view_.tokens * width_);
    for_each_row(
        [&](T* far, index_t row) { copy_bytes(on_, far, values.data() + row * width_, row_bytes()); });
    return values;
  }

 private:
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(width_) * sizeof(T);
  }
  template <class Body>
  void for_each_row(Body&& body) const {
    for (index_t row = 0; row < view_.batch * view_.tokens; ++row)
      body(view_.row(row / view_.tokens, row % view_.tokens), row);
  }

  E on_;
  index_t width_;
  Memory memory_;
  TokensView<T> view_;
};

}  // namespace stepvideo::testing
