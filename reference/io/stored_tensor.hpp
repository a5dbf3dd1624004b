// A tensor as its file stores it, which for PyTorch's files may be a strided view of a larger storage.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "io/safetensors.hpp"

namespace stepvideo::io {

struct StoredTensor {
  Dtype dtype = Dtype::f32;
  Shape shape;
  /// Elements from one index to the next along each axis, none negative; empty where the tensor is row-major,
  /// and `bytes` then are its elements and nothing else.
  Shape strides;
  /// From the first element on; holds every element. Lives as long as the mapped file.
  std::span<const std::byte> bytes;

  /// What the elements take when they stand in a row. More than `bytes` where a stride is 0.
  std::uint64_t size_bytes() const {
    return dtype_bytes(dtype) * static_cast<std::uint64_t>(element_count(shape));
  }
};

/// The bytes of a tensor of that dtype and shape, or nothing when an extent is negative or they would not fit
/// 63 bits with every extent of 0 taken as 1.
std::optional<std::uint64_t> tensor_bytes(Dtype dtype, const Shape& shape);

/// Copies the elements from `first` on, in row-major order, until `out` is full; its size is a multiple of
/// the element's.
void gather(const StoredTensor& tensor, std::int64_t first, std::span<std::byte> out);

}  // namespace stepvideo::io
