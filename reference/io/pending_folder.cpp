#include "io/pending_folder.hpp"

#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

/// "frames/" is the folder frames, "." is the folder in which we are.
fs::path without_slash(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

[[noreturn]] void fail(const fs::path& target, const std::error_code& error) {
  throw Error(fmt::format("{} cannot be written: {}", target.string(), error.message()));
}

/// A name beside the target that nothing bears.
fs::path name_beside(const fs::path& target, int attempt) {
  return target.parent_path() /
         fmt::format(".{}.{}-{}.partial", target.filename().string(), getpid(), attempt);
}

}  // namespace

PendingFolder::PendingFolder(fs::path target) : target_(without_slash(target)) {
  for (int attempt = 0;; ++attempt) {
    std::error_code error;
    temporary_ = name_beside(target_, attempt);
    if (fs::create_directory(temporary_, error)) return;
    if (error) fail(target_, error);
  }
}

PendingFolder::~PendingFolder() {
  std::error_code unused;
  if (!temporary_.empty()) fs::remove_all(temporary_, unused);
}

void PendingFolder::publish() {
  std::error_code error;
  fs::rename(temporary_, target_, error);
  if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
    fs::path old;
    for (int attempt = 0; old.empty() || fs::exists(old, error); ++attempt)
      old = name_beside(target_, attempt);
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
  const fs::path target = without_slash(path);
  require(!fs::exists(target, error) || fs::is_directory(target, error),
          [&] { return fmt::format("{}: {} is a file; the path of a folder works", flag, target.string()); });
  require(fs::is_directory(target.parent_path(), error), [&] {
    return fmt::format("{}: the folder {} does not exist; create it first", flag,
                       target.parent_path().string());
  });
  if (fs::is_directory(target, error))
    for (fs::directory_iterator entry(target, error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
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
