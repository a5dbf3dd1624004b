// A safetensors file written piece by piece, for tensors that never lie in memory whole.
#pragma once
#include <cstdio>
#include <memory>

#include "io/pending_file.hpp"
#include "io/safetensors.hpp"

namespace stepvideo::io {

/// Writes the header at once, then takes the tensors' bytes in the order in which they were announced.
class SafetensorsStream {
 public:
  /// `tensors` announces names, dtypes and shapes; their `bytes` are not read. The header keeps
  /// `spare_bytes` free for replace_metadata(). Throws Error: a name twice, the disk refuses.
  SafetensorsStream(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                    const std::map<std::string, std::string>& metadata = {}, std::size_t spare_bytes = 0);

  void append(std::span<const std::byte> bytes);
  /// Writes another header in place of the first, where it is no longer; else the first one stays. Returns
  /// which. Throws Error when the disk refuses.
  bool replace_metadata(const std::map<std::string, std::string>& metadata);
  /// Publishes the file. Throws Error when bytes are missing or the disk refuses.
  void finish();

 private:
  std::string header_text(const std::map<std::string, std::string>& metadata) const;
  void write(std::span<const std::byte> bytes);

  PendingFile file_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream_;
  std::string tensors_text_;  ///< the header without metadata
  std::size_t header_bytes_ = 0, bytes_left_ = 0;
};

}  // namespace stepvideo::io
