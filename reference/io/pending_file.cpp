#include "io/pending_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"
#include "io/pending_folder.hpp"

namespace stepvideo::io {

namespace fs = std::filesystem;

constexpr std::string_view partial_ending = ".partial";

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path Pending::hidden_name(const fs::path& folder, const fs::path& target, int attempt) {
  return folder / fmt::format(".{}.{}-{}{}", target.filename().string(), getpid(), attempt, partial_ending);
}

namespace {

/// All of them, for drop_pending().
struct AllPending {
  std::mutex mutex;
  std::set<const Pending*> all;
};
AllPending& all_pending() {
  static AllPending all;
  return all;
}

}  // namespace

void drop_pending() noexcept {
  const std::lock_guard lock(all_pending().mutex);
  std::error_code unused;
  for (const Pending* const pending : all_pending().all)
    if (!pending->temporary().empty()) fs::remove_all(pending->temporary(), unused);
}

Pending::Pending(fs::path target, const fs::path& folder, int (*create)(const char* path))
    : target_(std::move(target)) {
  for (int attempt = 0; lock_ < 0; ++attempt) {
    temporary_ = hidden_name(folder, target_, attempt);
    lock_ = create(temporary_.c_str());
    if (lock_ < 0 && errno != EEXIST)
      throw Error(fmt::format("{} cannot be written: {}", target_.string(), std::strerror(errno)));
  }
  flock(lock_, LOCK_EX | LOCK_NB);  // where locks are not known, what is abandoned stays
  const std::lock_guard lock(all_pending().mutex);
  all_pending().all.insert(this);
}

Pending::~Pending() {
  {
    const std::lock_guard lock(all_pending().mutex);
    all_pending().all.erase(this);
  }
  std::error_code unused;
  if (!temporary_.empty()) fs::remove_all(temporary_, unused);
  close(lock_);
}

PendingFile::PendingFile(fs::path target)
    : Pending(target, folder_of(target),
              [](const char* path) { return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }) {}

void PendingFile::publish() {
  const auto fail = [&](int reason) {
    throw Error(fmt::format("{} cannot be written: {}", target_.string(), std::strerror(reason)));
  };
  if (fsync(lock_) != 0) fail(errno);
  if (rename(temporary_.c_str(), target_.c_str()) == 0) return temporary_.clear();
  if (errno != EBUSY) fail(errno);
  std::error_code refused;
  fs::copy_file(temporary_, target_, fs::copy_options::overwrite_existing, refused);
  if (refused) {
    std::error_code unused;
    fs::resize_file(target_, 0, unused);
    fail(refused.value());
  }
}

void write_file(const fs::path& path, std::string_view bytes) {
  PendingFile file(path);
  std::ofstream stream(file.temporary(), std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  if (!stream) throw Error(fmt::format("{} cannot be written: the disk refuses", path.string()));
  file.publish();
}

namespace {

constexpr unsigned mount_root = 0x2000;  // STATX_ATTR_MOUNT_ROOT, which older headers lack

struct statx facts_of(const fs::path& path) noexcept {
  struct statx facts {};
  statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_MODE | STATX_UID, &facts);
  return facts;
}

/// Why nothing can be renamed over the file, although its folder takes files; empty where it can.
std::string why_not_replaceable(const fs::path& path) {
  const struct statx file = facts_of(path), folder = facts_of(folder_of(path));
  if ((file.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0)
    return "is marked as not to be changed (chattr)";
  const bool is_mine = geteuid() == 0 || file.stx_uid == geteuid() || folder.stx_uid == geteuid();
  if ((folder.stx_mode & S_ISVTX) != 0 && !is_mine)
    return "belongs to somebody else, in a folder where everybody replaces only what is theirs";
  if (is_mount_point(path) && access(path.c_str(), W_OK) != 0) return "cannot be written";
  return "";
}

}  // namespace

bool is_mount_point(const fs::path& path) noexcept {
  return (facts_of(path).stx_attributes & mount_root) != 0;
}

void require_writable_output(const std::string& flag, const fs::path& path,
                             const std::vector<std::string>& extensions, const std::string& others) {
  std::error_code unused;
  require(!path.empty(), [&] { return flag + " is empty; give the path of a file"; });
  require(!fs::is_directory(path, unused), [&] {
    return fmt::format("{}: {} is a folder; give the path of a file in it", flag, path.string());
  });
  require(!fs::exists(path, unused) || fs::is_regular_file(path, unused), [&] {
    return fmt::format("{}: {} exists and is not a regular file; give another name", flag, path.string());
  });
  require(std::ranges::find(extensions, extension_of(path)) != extensions.end(), [&] {
    return fmt::format("{}: {} has the extension '{}'; {} can be written{}", flag, path.string(),
                       path.extension().string(), fmt::join(extensions, " and "), others);
  });
  const auto folder = folder_of(path);
  require(fs::is_directory(folder, unused), [&] {
    return fmt::format("{}: the folder {} does not exist; create it first", flag, folder.string());
  });
  if (fs::exists(path, unused)) {
    const std::string why = why_not_replaceable(path);
    require(why.empty(),
            [&] { return fmt::format("{}: {} {}; another name works", flag, path.string(), why); });
  }
  remove_abandoned(path);
  try {
    PendingFile probe(path);  // asking for permission only would miss a read-only or full disk
  } catch (const Error& error) {
    throw RequestError(fmt::format("{}: {}", flag, error.what()));
  }
}

void require_free_space(const std::string& flag, const fs::path& path, double bytes) {
  std::error_code unknown;
  fs::path place = fs::is_directory(path, unknown) ? path : folder_of(path);
  while (!fs::exists(place, unknown) && place != folder_of(place)) place = folder_of(place);
  const auto space = fs::space(place, unknown);
  if (unknown) return;
  constexpr double gibibyte = 1 << 30;
  require(bytes <= static_cast<double>(space.available), [&] {
    return fmt::format(
        "{}: {} and the work towards it take {:.2f} GiB and its disk has {:.2f} free; another disk "
        "or a smaller video works",
        flag, path.string(), bytes / gibibyte, static_cast<double>(space.available) / gibibyte);
  });
}

void remove_abandoned(const fs::path& target) noexcept {
  try {
    const bool is_folder = !target.has_filename() || fs::is_directory(target);
    const fs::path whole = is_folder ? whole_folder(target) : target;
    const std::string ours = whole.filename().string();
    const auto is_ours = [&](const std::string& name) {
      return name.starts_with(ours) && (name.size() == ours.size() || name[ours.size()] == '.');
    };
    remove_abandoned_in(folder_of(whole), is_ours);
    if (is_folder) remove_abandoned_in(whole, is_ours);
  } catch (const std::exception&) {  // what cannot be looked at stays
  }
}

void remove_abandoned_in(const fs::path& folder,
                         const std::function<bool(const std::string& name)>& is_ours) noexcept {
  try {
    std::error_code unused;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string hidden = entry.path().filename().string();
      if (!hidden.starts_with('.') || !hidden.ends_with(partial_ending)) continue;
      const std::string named = hidden.substr(1, hidden.size() - 1 - partial_ending.size());
      const auto dot = named.rfind('.');  // NAME.PROCESS-ATTEMPT
      if (dot == named.npos || named.find_first_not_of("0123456789-", dot + 1) != named.npos) continue;
      if (!is_ours(named.substr(0, dot))) continue;
      const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (file < 0) continue;
      if (flock(file, LOCK_EX | LOCK_NB) == 0) fs::remove_all(entry.path(), unused);
      close(file);
    }
  } catch (const std::exception&) {  // what cannot be listed stays
  }
}

}  // namespace stepvideo::io
