// Folders that appear under their name when all their files are whole.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "io/pending_file.hpp"

namespace stepvideo::io {

/// The folder that a path names: absolute, links followed, no slash at its end. It need not be there.
std::filesystem::path whole_folder(const std::filesystem::path& path);

/// A folder that is filled under a hidden temporary name beside its target.
class PendingFolder : public Pending {
 public:
  /// Creates the temporary folder, empty. A slash at the target's end is ignored, a link to a folder is
  /// followed. Throws Error when the folder above refuses.
  explicit PendingFolder(const std::filesystem::path& target);
  /// Takes the target's place in one step, where the disk can exchange two names; what was there is removed.
  /// Throws Error when the disk refuses, and then the target is what it was.
  void publish();
};

/// Throws RequestError naming `flag` unless a folder can be published as `path` later: the folder above it
/// exists and is writable, and where `path` exists it is a folder whose every file `is_replaceable`, by name.
/// Removes what dead processes left of it.
void require_writable_folder(const std::string& flag, const std::filesystem::path& path,
                             const std::function<bool(const std::string& name)>& is_replaceable);

}  // namespace stepvideo::io
