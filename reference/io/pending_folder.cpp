#include "io/pending_folder.hpp"

#include <cstdio>
#include <set>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& target, const std::error_code& error) {
  throw Error(fmt::format("{} cannot be written: {}", target.string(), error.message()));
}

}  // namespace

fs::path whole_folder(const fs::path& path) {
  std::error_code error;
  const fs::path there = fs::absolute(path).lexically_normal(), resolved = fs::weakly_canonical(there, error);
  const fs::path whole = error ? there : resolved;
  return whole.has_filename() ? whole : whole.parent_path();
}

bool stands_alone(const fs::path& folder) noexcept {
  try {
    const fs::path whole = whole_folder(folder);
    return fs::is_directory(whole) &&
           (is_mount_point(whole) ||
            (access(whole.parent_path().c_str(), W_OK) != 0 && access(whole.c_str(), W_OK) == 0));
  } catch (const std::exception&) {
    return false;
  }
}

PendingFolder::PendingFolder(const fs::path& target, std::function<bool(const std::string&)> is_replaceable)
    : Pending(whole_folder(target),
              stands_alone(target) ? whole_folder(target) : folder_of(whole_folder(target)),
              [](const char* path) {
                return mkdir(path, 0777) == 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
              }),
      is_replaceable_(std::move(is_replaceable)) {}

void PendingFolder::move_in() {
  std::error_code error;
  std::set<fs::path> made, old;
  for (fs::directory_iterator entry(temporary_, error), end; !error && entry != end; entry.increment(error))
    made.insert(entry->path().filename());
  for (fs::directory_iterator entry(target_, error), end; !error && entry != end; entry.increment(error))
    if (is_replaceable_ && is_replaceable_(entry->path().filename().string()) &&
        entry->is_regular_file(error))
      old.insert(entry->path().filename());
  for (auto name = old.begin(); !error && name != old.end(); ++name) fs::remove(target_ / *name, error);
  for (auto name = made.begin(); !error && name != made.end(); ++name)
    fs::rename(temporary_ / *name, target_ / *name, error);
  if (error) fail(target_, error);
}

void PendingFolder::publish() {
  std::error_code error;
  if (folder_of(temporary_) == target_) return move_in();
  if (fs::is_directory(target_, error) &&
      renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    fs::remove_all(temporary_, error);  // what was there
    temporary_.clear();
    return;
  }
  fs::rename(temporary_, target_, error);
  if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
    fs::path old;
    for (int attempt = 0; old.empty() || fs::exists(old, error); ++attempt)
      old = hidden_name(folder_of(target_), target_, attempt);
    fs::rename(target_, old, error);
    if (error) fail(target_, error);
    fs::rename(temporary_, target_, error);
    std::error_code unused;
    if (error)
      fs::rename(old, target_, unused);
    else
      fs::remove_all(old, unused);
  }
  if (error) fail(target_, error);
  temporary_.clear();
}

void require_writable_folder(const std::string& flag, const fs::path& path,
                             const std::function<bool(const std::string& name)>& is_replaceable) {
  std::error_code error;
  const fs::path target = whole_folder(path);
  const bool is_link = fs::is_symlink(target, error);  // one that leads to nothing, or it were followed
  require(!is_link && (!fs::exists(target, error) || fs::is_directory(target, error)), [&] {
    return fmt::format("{}: {} is a {}; the path of a folder works", flag, target.string(),
                       is_link ? "link to nothing" : "file");
  });
  require(fs::is_directory(target.parent_path(), error), [&] {
    return fmt::format("{}: the folder {} does not exist; create it first", flag,
                       target.parent_path().string());
  });
  remove_abandoned(target);
  const bool is_alone = stands_alone(target);
  const std::string ours = target.filename().string() + ".";
  if (fs::is_directory(target, error))
    for (fs::directory_iterator entry(target, error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (is_alone && name.starts_with(ours)) continue;
      require(is_replaceable(name) && entry->is_regular_file(error), [&] {
        return fmt::format("{}: {} holds {}, which would be lost; a new or empty folder works", flag,
                           target.string(), name);
      });
    }
  try {
    PendingFolder probe(target);
  } catch (const Error& refusal) {
    throw RequestError(fmt::format("{}: {}", flag, refusal.what()));
  }
}

}  // namespace stepvideo::io
