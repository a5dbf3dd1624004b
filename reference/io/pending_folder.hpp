// Folders that appear under their name when all their files are whole.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "io/pending_file.hpp"

namespace stepvideo::io {

/// The folder that a path names: absolute, links followed, no slash at its end. It need not be there.
std::filesystem::path whole_folder(const std::filesystem::path& path);

/// Whether what belongs to a folder must lie in it and not beside: where it is mounted by itself, as
/// containers have it, or the folder above it takes no files.
bool stands_alone(const std::filesystem::path& folder) noexcept;

/// A folder that is filled under a hidden temporary name beside its target, or, where that stands alone, in
/// it.
class PendingFolder : public Pending {
 public:
  /// Creates the temporary folder, empty. A slash at the target's end is ignored, a link to a folder is
  /// followed. In a target that stands alone the files whose name `is_replaceable` give way to the new ones.
  /// Throws Error when the folder above refuses.
  explicit PendingFolder(const std::filesystem::path& target,
                         std::function<bool(const std::string& name)> is_replaceable = {});
  /// Takes the target's place in one step, where the disk can exchange two names; what was there is removed.
  /// A target that stands alone is filled file by file, in the order of names.
  /// Throws Error when the disk refuses, and then the target is what it was, but for one that stands alone.
  void publish();

 private:
  void move_in();

  std::function<bool(const std::string&)> is_replaceable_;
};

/// Throws RequestError naming `flag` unless a folder can be published as `path` later: the folder above it
/// exists and is writable, or `path` stands alone and is writable, and where `path` exists it is a folder
/// whose every file `is_replaceable`, by name, or in one that stands alone begins with the folder's name and
/// a dot. Removes what dead processes left of it.
void require_writable_folder(const std::string& flag, const std::filesystem::path& path,
                             const std::function<bool(const std::string& name)>& is_replaceable);

}  // namespace stepvideo::io
