#include "io/zip_directory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"

namespace stepvideo::io {
namespace {

constexpr std::uint32_t in_64_bits = 0xFFFF'FFFF;  // the value stands in a field of 64 bits elsewhere

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> archive, const std::string& source)
      : archive_(archive), source_(source) {}

  ZipDirectory read() {
    const Range directory = find_directory();
    std::uint64_t at = directory.begin;
    const std::uint64_t end = directory.begin + directory.size;
    while (at < end) at = read_entry(at, end);
    refuse_overlaps();
    return std::move(entries_);
  }

 private:
  struct Range {
    std::uint64_t begin, size;
  };

  [[noreturn]] void refuse(const std::string& why) const {
    throw RequestError(fmt::format("{} {}", source_, why));
  }
  std::span<const std::byte> bytes(std::uint64_t begin, std::uint64_t size) const {
    if (begin > archive_.size() || size > archive_.size() - begin)
      refuse(
          fmt::format("is cut or damaged: {} bytes are there, and its directory points to {} bytes from {}",
                      archive_.size(), size, begin));
    return archive_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size));
  }
  template <class T>
  T number(std::uint64_t at) const {
    T value;
    std::memcpy(&value, bytes(at, sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::uint64_t begin, std::uint64_t size) const {
    const auto found = bytes(begin, size);
    return {reinterpret_cast<const char*>(found.data()), found.size()};
  }

  /// The end record is the last thing in the file, but for a comment whose length it states.
  std::uint64_t find_end_record() const {
    constexpr std::uint64_t record_bytes = 22, longest_comment = 0xFFFF;
    const std::uint64_t size = archive_.size();
    for (std::uint64_t behind = record_bytes; behind <= std::min(size, record_bytes + longest_comment);
         ++behind)
      if (const std::uint64_t at = size - behind;
          number<std::uint32_t>(at) == 0x06054b50 && number<std::uint16_t>(at + 20) == behind - record_bytes)
        return at;
    refuse("is a zip archive without its end; copy or download it again");
  }

  Range find_directory() const {
    constexpr std::uint64_t locator_bytes = 20;
    const std::uint64_t end = find_end_record();
    if (number<std::uint16_t>(end + 4) != number<std::uint16_t>(end + 6))
      refuse("is one of several archives");
    Range directory{number<std::uint32_t>(end + 16), number<std::uint32_t>(end + 12)};
    if (end >= locator_bytes && number<std::uint32_t>(end - locator_bytes) == 0x07064b50) {
      const auto record = number<std::uint64_t>(end - locator_bytes + 8);
      bytes(record, 56);
      if (number<std::uint32_t>(record) != 0x06064b50)
        refuse("has a damaged directory (its zip64 end record)");
      directory = {number<std::uint64_t>(record + 48), number<std::uint64_t>(record + 40)};
    }
    bytes(directory.begin, directory.size);
    return directory;
  }

  /// Reads the directory's entry at `at`; returns where the next one begins.
  std::uint64_t read_entry(std::uint64_t at, std::uint64_t end) {
    constexpr std::uint64_t record_bytes = 46;
    bytes(at, record_bytes);
    if (number<std::uint32_t>(at) != 0x02014b50)
      refuse(fmt::format("has a damaged directory at byte {}", at));
    const auto flags = number<std::uint16_t>(at + 8), method = number<std::uint16_t>(at + 10);
    const std::uint64_t name_bytes = number<std::uint16_t>(at + 28),
                        extra_bytes = number<std::uint16_t>(at + 30);
    const std::uint64_t extra = at + record_bytes + name_bytes;
    const std::uint64_t next = extra + extra_bytes + number<std::uint16_t>(at + 32);
    const std::string_view name = text(at + record_bytes, name_bytes);
    const auto refuse_entry = [&](std::string_view why) {
      refuse(fmt::format("cannot be read: entry {} {}", in_quotes(name), why));
    };
    if (next > end) refuse_entry("runs past the end of the directory");
    std::uint64_t stored = number<std::uint32_t>(at + 20), size = number<std::uint32_t>(at + 24),
                  header = number<std::uint32_t>(at + 42);
    if (stored == in_64_bits || size == in_64_bits || header == in_64_bits) {
      // The wide fields stand in this order, each only where the narrow one gives way.
      std::uint64_t wide = find_extra(extra, extra + extra_bytes);
      const std::uint64_t wide_end = wide + (wide == 0 ? 0 : number<std::uint16_t>(wide - 2));
      for (std::uint64_t* value : {&size, &stored, &header}) {
        if (*value != in_64_bits) continue;
        if (wide == 0 || wide + sizeof(std::uint64_t) > wide_end) refuse_entry("lacks its zip64 sizes");
        *value = number<std::uint64_t>(wide);
        wide += sizeof(std::uint64_t);
      }
    }
    if ((flags & 1u) != 0) refuse_entry("is encrypted");
    if (method != 0 || stored != size)
      refuse_entry("is compressed; torch.save stores its entries as they are, and so can they be read");

    constexpr std::uint64_t header_bytes = 30;
    bytes(header, header_bytes);
    const std::uint64_t local_name_bytes = number<std::uint16_t>(header + 26);
    if (number<std::uint32_t>(header) != 0x04034b50 || text(header + header_bytes, local_name_bytes) != name)
      refuse_entry("has no header of its own where the directory says; the file is damaged");
    const std::uint64_t data = header + header_bytes + local_name_bytes + number<std::uint16_t>(header + 28);
    places_.push_back({header, data + size, name});
    if (!entries_.emplace(name, bytes(data, size)).second) refuse_entry("is there twice");
    return next;
  }

  /// Where the zip64 field's contents begin among the extra fields of [at, end), or 0.
  std::uint64_t find_extra(std::uint64_t at, std::uint64_t end) const {
    constexpr std::uint64_t head_bytes = 4;
    while (at + head_bytes <= end) {
      const std::uint64_t contents = at + head_bytes, next = contents + number<std::uint16_t>(at + 2);
      if (number<std::uint16_t>(at) == 1 && next <= end) return contents;
      at = next;
    }
    return 0;
  }

  /// A few bytes that many entries share would be many times the archive once they are written out.
  void refuse_overlaps() {
    std::ranges::sort(places_, {}, &Place::begin);
    for (std::size_t i = 1; i < places_.size(); ++i)
      if (places_[i].begin < places_[i - 1].end)
        refuse(fmt::format("cannot be read: entries {} and {} overlap", in_quotes(places_[i - 1].name),
                           in_quotes(places_[i].name)));
  }

  struct Place {
    std::uint64_t begin, end;  ///< header and data
    std::string_view name;
  };

  std::span<const std::byte> archive_;
  const std::string& source_;
  ZipDirectory entries_;
  std::vector<Place> places_;
};

}  // namespace

ZipDirectory read_zip_directory(std::span<const std::byte> archive, const std::string& source) {
  return ZipReader(archive, source).read();
}

}  // namespace stepvideo::io
