// Files that are read where they lie.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace stepvideo::io {

/// A whole file, mapped for reading. Copies share the mapping.
struct MappedFile {
  std::shared_ptr<const void> memory;
  std::size_t size = 0;

  /// Throws RequestError naming the file and `kind`, what was looked for ("a safetensors file"): not there,
  /// not a regular file, empty, not readable.
  static MappedFile open(const std::filesystem::path& path, std::string_view kind);

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(memory.get()), size}; }
};

/// Copies `mapped`, a part of a MappedFile that lives, to `into` by reading the file: no page of the mapping
/// is touched. Returns false where it is part of none, or the file does not hold it any more.
bool read_from_file(std::span<const std::byte> mapped, std::byte* into) noexcept;

/// Gives back the memory that reading `mapped`, a part of a MappedFile, took. Reading it again is allowed.
void release_pages(std::span<const std::byte> mapped) noexcept;

}  // namespace stepvideo::io
