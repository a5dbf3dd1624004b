#include "io/mapped_file.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {

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
  close(file);
  if (!is_file) refuse("is not a regular file");
  if (size == 0) refuse("is empty");
  if (memory == MAP_FAILED) refuse(fmt::format("cannot be mapped: {}", std::strerror(reason)));
  return {{memory, [size](const void* mapped) { munmap(const_cast<void*>(mapped), size); }}, size};
}

void release_pages(std::span<const std::byte> mapped) noexcept {
  if (mapped.empty()) return;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(mapped.data() + mapped.size());
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace stepvideo::io
