#include "io/mapped_file.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

#include "io/lfs_pointer.hpp"

namespace stepvideo::io {
namespace {

/// The files behind the mappings that live, by where they lie in memory.
class OpenFiles {
 public:
  struct File {
    std::size_t size;
    int descriptor;
  };

  static OpenFiles& instance() {
    static auto* const files = new OpenFiles;  // outlives mappings that end with the program
    return *files;
  }
  void add(const std::byte* memory, const File& file) {
    const std::unique_lock lock(mutex_);
    files_.emplace(memory, file);
  }
  void remove(const std::byte* memory) {
    const std::unique_lock lock(mutex_);
    files_.erase(memory);
  }
  /// The file that `part` is of, and where it begins there.
  std::optional<std::pair<int, off_t>> find(std::span<const std::byte> part) const {
    const std::shared_lock lock(mutex_);
    auto at = files_.upper_bound(part.data());
    if (at == files_.begin()) return {};
    --at;
    const auto offset = static_cast<std::size_t>(part.data() - at->first);
    if (offset > at->second.size || part.size() > at->second.size - offset) return {};
    return std::pair(at->second.descriptor, static_cast<off_t>(offset));
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<const std::byte*, File> files_;
};

}  // namespace

MappedFile MappedFile::open(const std::filesystem::path& path, std::string_view kind) {
  const auto refuse = [&](std::string_view why) {
    throw RequestError(fmt::format("{} {}; {} was looked for", path.string(), why, kind));
  };
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0)
    refuse(errno == ENOENT ? "is not there" : fmt::format("cannot be read: {}", std::strerror(errno)));
  struct stat status {};
  const bool is_file = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(status.st_size);
  void* memory = is_file && size > 0 ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
  const int reason = errno;
  const bool is_mapped = memory != nullptr && memory != MAP_FAILED;
  if (!is_mapped) close(file);
  if (!is_file) refuse("is not a regular file");
  if (size == 0) refuse("is empty");
  require(is_mapped || reason != ENOMEM, [&] {
    return fmt::format(
        "{} cannot be mapped: this process has no {:.2f} GiB of addresses left; a higher ulimit -v works",
        path.string(), static_cast<double>(size) / (1 << 30));
  });
  if (!is_mapped) refuse(fmt::format("cannot be mapped: {}", std::strerror(reason)));
  OpenFiles::instance().add(static_cast<const std::byte*>(memory), {size, file});
  const auto release = [size, file](const void* mapped) {
    OpenFiles::instance().remove(static_cast<const std::byte*>(mapped));
    munmap(const_cast<void*>(mapped), size);
    close(file);
  };
  const MappedFile mapped{{memory, release}, size};
  constexpr std::size_t most_pointer_bytes = 1024;
  if (size <= most_pointer_bytes) require_no_lfs_pointer({static_cast<const char*>(memory), size}, path);
  return mapped;
}

bool read_from_file(std::span<const std::byte> mapped, std::byte* into) noexcept {
  const auto file = OpenFiles::instance().find(mapped);
  if (!file) return false;
  for (std::size_t done = 0; done < mapped.size();) {
    const ssize_t count =
        pread(file->first, into + done, mapped.size() - done, file->second + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

void release_pages(std::span<const std::byte> mapped) noexcept {
  if (mapped.empty()) return;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(mapped.data() + mapped.size());
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace stepvideo::io
