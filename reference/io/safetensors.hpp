// The safetensors format: a little-endian u64, that many bytes of JSON, then the tensors' bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>

#include "io/mapped_file.hpp"

namespace stepvideo::io {

/// Floating point first.
enum class Dtype { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

constexpr bool is_floating_point(Dtype dtype) {
  return dtype <= Dtype::f8_e5m2;
}

/// The format's own spelling: "F32", "BF16", ...
std::string_view dtype_name(Dtype dtype);
/// Bytes of one element.
std::size_t dtype_bytes(Dtype dtype);

using Shape = std::vector<std::int64_t>;
/// "[2, 3, 4]"
std::string to_string(const Shape& shape);
std::int64_t element_count(const Shape& shape);

/// One stored tensor. `bytes` points into the mapped file and lives as long as it does.
struct TensorRecord {
  Dtype dtype = Dtype::f32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// A memory-mapped safetensors file whose header is checked in full. Copies share the mapping. The format is
/// that of the safetensors project: tensors tile the data without gaps, at most one name each.
class SafetensorsFile {
 public:
  /// Throws RequestError naming the file and what is wrong with it (not there, truncated, a header that runs
  /// past the end, offsets that overlap or do not fit the shape, an unknown dtype, a name twice).
  static SafetensorsFile open(const std::filesystem::path& path);
  /// The same of a file that is mapped already; `path` names it in errors.
  static SafetensorsFile read(const MappedFile& mapped, const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, TensorRecord>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::filesystem::path path_;
  std::shared_ptr<const void> mapping_;
  std::map<std::string, TensorRecord> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// The dtype that stores a T.
template <class T>
inline constexpr Dtype dtype_of = Dtype::f32;
template <>
inline constexpr Dtype dtype_of<stepvideo::bf16> = Dtype::bf16;
template <>
inline constexpr Dtype dtype_of<fp16> = Dtype::f16;
template <>
inline constexpr Dtype dtype_of<fp8_e4m3> = Dtype::f8_e4m3;
template <>
inline constexpr Dtype dtype_of<std::int32_t> = Dtype::i32;
template <>
inline constexpr Dtype dtype_of<std::int64_t> = Dtype::i64;

/// What write_safetensors stores. `bytes` must outlive the call.
struct NamedTensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// The values of a buffer under a name; the buffer must outlive the result.
template <class T>
NamedTensor named_tensor(std::string name, Shape shape, const Buffer<T>& values) {
  return {std::move(name), dtype_of<T>, std::move(shape),
          std::as_bytes(std::span(values.begin(), values.end()))};
}

/// Writes beside `path` and renames, so that a reader sees the old file or the whole new one. The data starts
/// at a multiple of 64 bytes, wider dtypes come first, and every tensor is aligned to its element. Throws
/// Error when a tensor's bytes do not fit its shape, a name is given twice, or the disk refuses.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace stepvideo::io
