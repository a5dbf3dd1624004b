// Host memory that GPUs copy to and from by themselves, beside what the host and the streams do.
#pragma once
#include <optional>
#include <type_traits>
#include <utility>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// `size` elements of T in pinned memory, for every GPU of the process; uninitialised; movable, not copyable.
/// It must not end before the copies that were asked of it.
template <class T>
class PinnedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PinnedBuffer() = default;
  /// Throws Error as CUDA does where the system pins no more.
  explicit PinnedBuffer(index_t size) : size_(size) { check(allocate()); }
  /// The same, or nothing where the system pins no more.
  static std::optional<PinnedBuffer> if_possible(index_t size) {
    PinnedBuffer buffer;
    buffer.size_ = size;
    const cudaError_t status = buffer.allocate();
    if (status == cudaSuccess) return buffer;
    if (status != cudaErrorMemoryAllocation) check(status);
    cudaGetLastError();  // what was refused must not be found by the next check
    return std::nullopt;
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept { swap(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    PinnedBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~PinnedBuffer() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }

  T* data() const { return data_; }
  index_t size() const { return size_; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  T& operator[](index_t i) const { return data_[i]; }
  VectorView<T> vector() const { return {data_, size_}; }

  void swap(PinnedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

 private:
  cudaError_t allocate() {
    if (size_ == 0) return cudaSuccess;
    void* memory = nullptr;
    const cudaError_t status =
        cudaHostAlloc(&memory, static_cast<std::size_t>(size_) * sizeof(T), cudaHostAllocPortable);
    data_ = static_cast<T*>(memory);
    return status;
  }

  T* data_ = nullptr;
  index_t size_ = 0;
};

}  // namespace stepvideo
