#include "io/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/mapped_file.hpp"
#include "io/stored_tensor.hpp"

namespace stepvideo::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array dtypes{DtypeRow{Dtype::f64, "F64", 8},         DtypeRow{Dtype::f32, "F32", 4},
                            DtypeRow{Dtype::f16, "F16", 2},         DtypeRow{Dtype::bf16, "BF16", 2},
                            DtypeRow{Dtype::f8_e4m3, "F8_E4M3", 1}, DtypeRow{Dtype::f8_e5m2, "F8_E5M2", 1},
                            DtypeRow{Dtype::i64, "I64", 8},         DtypeRow{Dtype::i32, "I32", 4},
                            DtypeRow{Dtype::i16, "I16", 2},         DtypeRow{Dtype::i8, "I8", 1},
                            DtypeRow{Dtype::u64, "U64", 8},         DtypeRow{Dtype::u32, "U32", 4},
                            DtypeRow{Dtype::u16, "U16", 2},         DtypeRow{Dtype::u8, "U8", 1},
                            DtypeRow{Dtype::boolean, "BOOL", 1}};

constexpr bool rows_follow_the_enum() {
  for (std::size_t i = 0; i < dtypes.size(); ++i)
    if (static_cast<std::size_t>(dtypes[i].dtype) != i) return false;
  return true;
}
static_assert(rows_follow_the_enum());

Dtype parse_dtype(const std::string& name, const std::string& tensor) {
  const auto row = std::ranges::find(dtypes, name, &DtypeRow::name);
  require(row != dtypes.end(), [&] {
    std::string known;
    for (const auto& each : dtypes) known += fmt::format("{}{}", known.empty() ? "" : ", ", each.name);
    return fmt::format("{} has the dtype {}; {} can be read", tensor, in_quotes(name), known);
  });
  return row->dtype;
}

/// One tensor's entry, with its place in the data.
struct Entry {
  std::string name;
  Dtype dtype;
  Shape shape;
  std::uint64_t begin, end;
};

Entry read_entry(const std::string& name, const Json& json, const std::filesystem::path& path) {
  const std::string tensor = fmt::format("{}: tensor {}", path.string(), in_quotes(name));
  require(json.is_object(), [&] { return tensor + " has no description; the header is damaged"; });
  const Dtype dtype = parse_dtype(field<std::string>(json, tensor, "dtype"), tensor);
  auto shape = field<Shape>(json, tensor, "shape");
  const auto offsets = field<std::vector<std::uint64_t>>(json, tensor, "data_offsets");
  require(offsets.size() == 2 && offsets[0] <= offsets[1],
          [&] { return tensor + " has data_offsets that are no range; two numbers in order work"; });
  const auto bytes = tensor_bytes(dtype, shape);
  require(bytes.has_value(),
          [&] { return fmt::format("{} has the impossible shape {}", tensor, to_string(shape)); });
  require(offsets[1] - offsets[0] == *bytes, [&] {
    return fmt::format("{} of shape {} and dtype {} takes {} bytes, but its data_offsets span {}", tensor,
                       to_string(shape), dtype_name(dtype), *bytes, offsets[1] - offsets[0]);
  });
  return {name, dtype, std::move(shape), offsets[0], offsets[1]};
}

}  // namespace

std::string_view dtype_name(Dtype dtype) {
  return dtypes[static_cast<std::size_t>(dtype)].name;
}
std::size_t dtype_bytes(Dtype dtype) {
  return dtypes[static_cast<std::size_t>(dtype)].bytes;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const auto extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const auto extent : shape) count *= extent;
  return count;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  return read(MappedFile::open(path, "a safetensors file"), path);
}

SafetensorsFile SafetensorsFile::read(const MappedFile& mapped, const std::filesystem::path& path) {
  // The format's own limit; a header's values take some twenty times its bytes in memory.
  constexpr std::uint64_t most_header_bytes = 100'000'000;
  constexpr std::size_t length_bytes = 8;
  const std::size_t size = mapped.size;
  const std::byte* const bytes = mapped.bytes().data();
  require(size >= length_bytes, [&] {
    return fmt::format("{} is truncated: {} bytes are there, and the header's length alone takes {}",
                       path.string(), size, length_bytes);
  });
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes, length_bytes);
  require(header_bytes <= size - length_bytes, [&] {
    return fmt::format(
        "{} is truncated or no safetensors file: {} bytes are there, and the header should run to {}",
        path.string(), size,
        header_bytes > std::numeric_limits<std::uint64_t>::max() - length_bytes
            ? header_bytes
            : header_bytes + length_bytes);
  });
  require(header_bytes <= most_header_bytes, [&] {
    return fmt::format("{} has a header of {} bytes; the format allows {}", path.string(), header_bytes,
                       most_header_bytes);
  });
  const Json header = parse_json(
      {reinterpret_cast<const char*>(bytes) + length_bytes, static_cast<std::size_t>(header_bytes)},
      "the header of " + path.string());
  require(header.is_object(), [&] { return "the header of " + path.string() + " is not a JSON object"; });

  SafetensorsFile file;
  file.path_ = path;
  file.mapping_ = mapped.memory;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      require(value.is_object(), [&] { return path.string() + ": __metadata__ is not a JSON object"; });
      for (const auto& [key, text] : value.items())
        file.metadata_[key] = text.is_string() ? text.get<std::string>() : text.dump();
    } else {
      entries.push_back(read_entry(name, value, path));
    }
  }
  std::ranges::sort(entries, {}, [](const Entry& entry) { return std::pair(entry.begin, entry.end); });
  const std::size_t data_bytes = size - length_bytes - header_bytes;
  const std::uint64_t needed = entries.empty() ? 0 : entries.back().end;
  require(needed <= data_bytes, [&] {
    return fmt::format("{} is truncated: {} bytes are there and {} are needed; copy or download it again",
                       path.string(), size, length_bytes + header_bytes + needed);
  });
  std::uint64_t expected_begin = 0;
  for (const Entry& entry : entries) {
    require(entry.begin == expected_begin, [&] {
      return fmt::format("{}: tensor {} starts at byte {} of the data where {} is due; tensors {}",
                         path.string(), in_quotes(entry.name), entry.begin, expected_begin,
                         entry.begin < expected_begin ? "must not overlap" : "must leave no gap");
    });
    expected_begin = entry.end;
  }
  require(needed == data_bytes, [&] {
    return fmt::format("{} has {} bytes after its last tensor; nothing may follow it", path.string(),
                       data_bytes - needed);
  });
  const std::byte* const data = bytes + length_bytes + header_bytes;
  for (Entry& entry : entries)
    file.tensors_[entry.name] = {entry.dtype,
                                 std::move(entry.shape),
                                 {data + entry.begin, static_cast<std::size_t>(entry.end - entry.begin)}};
  return file;
}

}  // namespace stepvideo::io
