#include "io/pending_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

#include "io/pending_folder.hpp"

namespace stepvideo::io {

namespace fs = std::filesystem;

constexpr std::string_view partial_ending = ".partial";

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

PendingFile::PendingFile(fs::path target) : target_(std::move(target)) {
  for (int attempt = 0;; ++attempt) {
    temporary_ = folder_of(target_) /
                 fmt::format(".{}.{}-{}{}", target_.filename().string(), getpid(), attempt, partial_ending);
    const int file = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      flock(file, LOCK_EX | LOCK_NB);  // where locks are not known, abandoned files stay
      lock_ = file;
      return;
    }
    if (errno != EEXIST)
      throw Error(fmt::format("{} cannot be written: {}", target_.string(), std::strerror(errno)));
  }
}

PendingFile::~PendingFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (lock_ >= 0) close(lock_);
}

void PendingFile::publish() {
  const auto fail = [&](int reason) {
    throw Error(fmt::format("{} cannot be written: {}", target_.string(), std::strerror(reason)));
  };
  if (fsync(lock_) != 0) fail(errno);
  if (rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  temporary_.clear();
}

void write_file(const fs::path& path, std::string_view bytes) {
  PendingFile file(path);
  std::ofstream stream(file.temporary(), std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  if (!stream) throw Error(fmt::format("{} cannot be written: the disk refuses", path.string()));
  file.publish();
}

void require_writable_output(const std::string& flag, const fs::path& path,
                             const std::vector<std::string>& extensions) {
  std::error_code unused;
  require(!path.empty(), [&] { return flag + " is empty; give the path of a file"; });
  require(!fs::is_directory(path, unused), [&] {
    return fmt::format("{}: {} is a folder; give the path of a file in it", flag, path.string());
  });
  require(!fs::exists(path, unused) || fs::is_regular_file(path, unused), [&] {
    return fmt::format("{}: {} exists and is not a regular file; give another name", flag, path.string());
  });
  require(std::ranges::find(extensions, path.extension().string()) != extensions.end(), [&] {
    return fmt::format("{}: {} has the extension '{}'; {} can be written", flag, path.string(),
                       path.extension().string(), fmt::join(extensions, " and "));
  });
  const auto folder = folder_of(path);
  require(fs::is_directory(folder, unused), [&] {
    return fmt::format("{}: the folder {} does not exist; create it first", flag, folder.string());
  });
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
    const std::string beginning = fmt::format(".{}.", whole.filename().string());
    std::error_code unused;
    for (const auto& entry : fs::directory_iterator(folder_of(whole))) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with(beginning) || !name.ends_with(partial_ending)) continue;
      const auto number =
          name.substr(beginning.size(), name.size() - beginning.size() - partial_ending.size());
      if (number.find_first_not_of("0123456789-") != number.npos) continue;
      const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (file < 0) continue;
      if (flock(file, LOCK_EX | LOCK_NB) == 0) fs::remove_all(entry.path(), unused);
      close(file);
    }
  } catch (const std::exception&) {  // what cannot be listed stays
  }
}

}  // namespace stepvideo::io
