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

namespace stepvideo::io {

enum class Dtype { f64, f32, f16, bf16, f8_e4m3, i64, i32, i16, i8, u8, boolean };

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

/// A memory-mapped, fully validated safetensors file. Copies share the mapping.
class SafetensorsFile {
 public:
  /// Throws RequestError naming the file and what is wrong with it (not there, truncated, a header that runs
  /// past the end, offsets that overlap or do not fit the shape, an unknown dtype, a name twice).
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, TensorRecord>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::filesystem::path path_;
  std::shared_ptr<const void> mapping_;
  std::map<std::string, TensorRecord> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// What write_safetensors stores.
struct NamedTensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// Writes beside `path` and renames, so that a reader sees the old file or the whole new one. Tensor data is
/// 64-byte aligned. Throws Error when the disk refuses.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace stepvideo::io
