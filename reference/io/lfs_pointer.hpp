// What git leaves in place of a large file that was not fetched.
#pragma once
#include <filesystem>
#include <string_view>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {

/// Whether a file that begins so is a pointer of Git LFS.
inline bool is_lfs_pointer(std::string_view beginning) {
  return beginning.starts_with("version https://git-lfs");
}

/// Throws RequestError naming the file and the command where it is one.
inline void require_no_lfs_pointer(std::string_view beginning, const std::filesystem::path& path) {
  require(!is_lfs_pointer(beginning), [&] {
    return path.string() +
           " is a pointer of Git LFS, and the file itself was not fetched; git lfs pull in its "
           "folder fetches it";
  });
}

}  // namespace stepvideo::io
