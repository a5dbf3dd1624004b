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
  /// `tensors` announces names, dtypes and shapes; their `bytes` are not read. Throws Error: a name twice,
  /// the disk refuses.
  SafetensorsStream(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

  void append(std::span<const std::byte> bytes);
  /// Publishes the file. Throws Error when bytes are missing or the disk refuses.
  void finish();

 private:
  PendingFile file_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream_;
  std::size_t bytes_left_ = 0;
};

}  // namespace stepvideo::io
