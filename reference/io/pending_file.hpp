// Output files: checked before the work begins, and visible under their name only when they are whole.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace stepvideo::io {

/// The folder that a file of that path lies in; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);

/// A file that is being written under a hidden temporary name in the folder of its target. publish() renames
/// it into place; without it the destructor removes it, so nothing half-written bears the target's name.
class PendingFile {
 public:
  /// Creates the temporary file, empty. Throws Error when the folder refuses.
  explicit PendingFile(std::filesystem::path target);
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  ~PendingFile();

  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& temporary() const { return temporary_; }
  /// Flushes to the disk and renames over the target. Throws Error when the disk refuses.
  void publish();

 private:
  std::filesystem::path target_, temporary_;
  int lock_ = -1;  // held on the temporary file while this process lives
};

/// Writes the whole file. Throws Error when the disk refuses, and then nothing has changed.
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// Throws RequestError naming `flag` unless `path` can be written later: its folder exists and is writable,
/// it is not a folder itself, and its extension (lower-case, with the dot) is one of `extensions`. Removes
/// what dead processes left of it.
void require_writable_output(const std::string& flag, const std::filesystem::path& path,
                             const std::vector<std::string>& extensions);

/// Throws RequestError naming `flag` unless the disk that `path` will lie on has `bytes` free.
void require_free_space(const std::string& flag, const std::filesystem::path& path, double bytes);

/// Removes what processes that died left of `target`, a file or a folder, under temporary names. What
/// somebody still writes stays.
void remove_abandoned(const std::filesystem::path& target) noexcept;

}  // namespace stepvideo::io
