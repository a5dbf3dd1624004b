#include "text/sentencepiece_model.hpp"

#include <cstdint>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::text {
namespace {

using Bytes = std::span<const std::byte>;

/// The fields of one message, one after the other.
class FieldReader {
 public:
  struct Field {
    std::uint64_t number = 0;
    Bytes contents;  ///< of a text or message, else empty
  };

  explicit FieldReader(Bytes message) : rest_(message) {}

  bool is_done() const { return rest_.empty(); }
  /// Nothing where the bytes are no field; groups, which no version of the model has, count as none.
  std::optional<Field> next() {
    const auto key = varint();
    if (!key || *key > 0xFFFF'FFFF) return {};
    Field field{.number = *key >> 3, .contents = {}};
    std::optional<std::uint64_t> bytes = 0;
    switch (*key & 7u) {
      case 0:
        if (!varint()) return {};
        return field;
      case 1:
        bytes = 8;
        break;
      case 2:
        bytes = varint();
        break;
      case 5:
        bytes = 4;
        break;
      default:
        return {};
    }
    if (!bytes || *bytes > rest_.size()) return {};
    field.contents = rest_.first(static_cast<std::size_t>(*bytes));
    rest_ = rest_.subspan(field.contents.size());
    return field;
  }

 private:
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = std::to_integer<std::uint64_t>(rest_.front());
      rest_ = rest_.subspan(1);
      value |= (byte & 0x7Fu) << shift;
      if (byte < 0x80) return value;
    }
    return {};
  }

  Bytes rest_;
};

/// Whether no walk through the map's trie leaves it, and no replacement leaves its texts. The map is a
/// length, that many bytes of units and the replacements, each with a zero behind it.
bool is_sound_map(Bytes map) {
  constexpr std::size_t block = 256;  // a step goes to any unit of one block, whatever the character
  std::uint32_t trie_bytes = 0;
  if (map.size() <= sizeof(trie_bytes)) return false;
  std::memcpy(&trie_bytes, map.data(), sizeof(trie_bytes));
  const Bytes body = map.subspan(sizeof(trie_bytes));
  if (trie_bytes >= body.size() || trie_bytes == 0 || trie_bytes % (block * sizeof(std::uint32_t)) != 0)
    return false;
  const Bytes texts = body.subspan(trie_bytes);
  if (texts.back() != std::byte{0}) return false;

  const std::size_t units = trie_bytes / sizeof(std::uint32_t);
  const auto unit = [&](std::size_t i) {
    std::uint32_t value;
    std::memcpy(&value, body.data() + i * sizeof(value), sizeof(value));
    return value;
  };
  for (std::size_t i = 0; i < units; ++i) {
    const std::uint32_t value = unit(i);
    if ((value >> 31) != 0) continue;  // a replacement's place; judged below where a walk can end in it
    const std::size_t next = i ^ (std::size_t{value >> 10} << ((value & 0x200u) >> 6));
    if (next >= units) return false;
    const bool ends_here = (value & 0x100u) != 0;
    if (ends_here && (unit(next) & 0x7FFF'FFFFu) >= texts.size()) return false;
  }
  return true;
}

}  // namespace

void require_sound_normalization(Bytes model, const std::string& source) {
  constexpr std::uint64_t normalizer = 3, denormalizer = 5, map = 2;
  const auto next = [&](FieldReader& reader) {
    const auto field = reader.next();
    require(field.has_value(), [&] {
      return source + " is no SentencePiece model that can be read; it is damaged or of another kind";
    });
    return *field;
  };
  for (FieldReader fields(model); !fields.is_done();) {
    const auto field = next(fields);
    if (field.number != normalizer && field.number != denormalizer) continue;
    for (FieldReader spec(field.contents); !spec.is_done();) {
      const auto part = next(spec);
      if (part.number != map || part.contents.empty()) continue;
      require(is_sound_map(part.contents), [&] {
        return source + " holds a normalization that reaches out of itself; it is damaged, download it again";
      });
    }
  }
}

}  // namespace stepvideo::text
