// Output files: checked before the work begins, and visible under their name only when they are whole.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace stepvideo::io {

/// The folder that a file of that path lies in; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);

/// A file or folder that is being written under a hidden temporary name beside its target. Unless it is
/// published, the destructor removes it, so nothing half-written bears the target's name.
class Pending {
 public:
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& temporary() const { return temporary_; }

 protected:
  /// In `folder`, `create` makes what is not there yet and opens it, or returns -1 and sets errno. Throws
  /// Error when the folder refuses.
  Pending(std::filesystem::path target, const std::filesystem::path& folder, int (*create)(const char* path));
  ~Pending();

  static std::filesystem::path hidden_name(const std::filesystem::path& folder,
                                           const std::filesystem::path& target, int attempt);

  std::filesystem::path target_, temporary_;
  int lock_ = -1;  // on what is temporary, while this process lives
};

/// Removes what is written under temporary names: before a process ends without its destructors.
void drop_pending() noexcept;

class PendingFile : public Pending {
 public:
  /// Creates the temporary file, empty. Throws Error when the folder refuses.
  explicit PendingFile(std::filesystem::path target);
  /// Flushes to the disk and renames over the target. A target that is mounted by itself, as containers have
  /// it, cannot be renamed over: it is filled, and emptied again should the disk refuse. Throws Error when it
  /// does.
  void publish();
};

/// Whether something is mounted at that path itself.
bool is_mount_point(const std::filesystem::path& path) noexcept;

/// Writes the whole file. Throws Error when the disk refuses, and then nothing has changed.
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// Throws RequestError naming `flag` unless `path` can be written later: its folder exists and is writable,
/// it is not a folder itself, what is there may be replaced, and its extension (lower-case, with the dot) is
/// one of `extensions`; what else works says `others`. Removes what dead processes left of it.
void require_writable_output(const std::string& flag, const std::filesystem::path& path,
                             const std::vector<std::string>& extensions, const std::string& others = {});

/// Throws RequestError naming `flag` unless the disk that `path` will lie on has `bytes` free.
void require_free_space(const std::string& flag, const std::filesystem::path& path, double bytes);

/// Removes what processes that died left, under temporary names, of `target`, a file or a folder, and of what
/// lies beside it under names that go on from its own (NAME.json, NAME.steps.safetensors). What somebody
/// still writes stays.
void remove_abandoned(const std::filesystem::path& target) noexcept;

/// The same of every target in `folder` whose name `is_ours`.
void remove_abandoned_in(const std::filesystem::path& folder,
                         const std::function<bool(const std::string& name)>& is_ours) noexcept;

}  // namespace stepvideo::io
