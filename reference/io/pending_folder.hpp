// Folders that appear under their name when all their files are whole.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

namespace stepvideo::io {

/// A folder that is filled under a hidden temporary name beside its target. publish() puts it in the place of
/// the target, as a whole; without it the destructor removes it.
class PendingFolder {
 public:
  /// Creates the temporary folder, empty. A slash at the target's end is ignored. Throws Error when the
  /// folder above refuses.
  explicit PendingFolder(std::filesystem::path target);
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;
  ~PendingFolder();

  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& temporary() const { return temporary_; }
  /// Renames over the target; what was there is removed. Throws Error when the disk refuses, and then the
  /// target is what it was.
  void publish();

 private:
  std::filesystem::path target_, temporary_;
};

/// Throws RequestError naming `flag` unless a folder can be published as `path` later: the folder above it
/// exists and is writable, and where `path` exists it is a folder whose every file `is_replaceable`, by name.
void require_writable_folder(const std::string& flag, const std::filesystem::path& path,
                             const std::function<bool(const std::string& name)>& is_replaceable);

}  // namespace stepvideo::io
