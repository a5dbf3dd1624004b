#include "io/stored_tensor.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace stepvideo::io {
namespace {

template <std::size_t bytes>
void copy_strided(const std::byte* from, std::size_t stride, std::int64_t count, std::byte* to) {
  for (std::int64_t i = 0; i < count; ++i, from += stride * bytes, to += bytes) std::memcpy(to, from, bytes);
}

void copy_run(std::size_t element_bytes, const std::byte* from, std::size_t stride, std::int64_t count,
              std::byte* to) {
  if (stride == 1)
    std::memcpy(to, from, element_bytes * static_cast<std::size_t>(count));
  else if (element_bytes == 1)
    copy_strided<1>(from, stride, count, to);
  else if (element_bytes == 2)
    copy_strided<2>(from, stride, count, to);
  else if (element_bytes == 4)
    copy_strided<4>(from, stride, count, to);
  else
    copy_strided<8>(from, stride, count, to);
}

}  // namespace

std::optional<std::uint64_t> tensor_bytes(Dtype dtype, const Shape& shape) {
  // An extent of 0 counts as 1 here: the products of the others must fit too, whoever forms them.
  auto bytes = static_cast<std::int64_t>(dtype_bytes(dtype));
  bool is_empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return {};
    is_empty = is_empty || extent == 0;
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(extent, 1), &bytes)) return {};
  }
  return is_empty ? 0 : static_cast<std::uint64_t>(bytes);
}

void gather(const StoredTensor& tensor, std::int64_t first, std::span<std::byte> out) {
  const std::size_t width = dtype_bytes(tensor.dtype);
  if (tensor.strides.empty()) {
    std::ranges::copy(tensor.bytes.subspan(static_cast<std::size_t>(first) * width, out.size()), out.begin());
    return;
  }
  const std::size_t last = tensor.shape.size() - 1;
  Shape index(tensor.shape.size());
  for (std::size_t axis = last + 1, rest = static_cast<std::size_t>(first); axis-- > 0;) {
    const auto extent = static_cast<std::size_t>(tensor.shape[axis]);
    index[axis] = static_cast<std::int64_t>(rest % extent);
    rest /= extent;
  }
  while (!out.empty()) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis <= last; ++axis) offset += index[axis] * tensor.strides[axis];
    const std::int64_t count =
        std::min(tensor.shape[last] - index[last], static_cast<std::int64_t>(out.size() / width));
    copy_run(width, tensor.bytes.data() + static_cast<std::size_t>(offset) * width,
             static_cast<std::size_t>(tensor.strides[last]), count, out.data());
    out = out.subspan(static_cast<std::size_t>(count) * width);
    index[last] = 0;
    for (std::size_t axis = last; axis-- > 0;) {
      if (++index[axis] < tensor.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace stepvideo::io
