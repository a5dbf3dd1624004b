#include "io/path_json.hpp"

#include <charconv>

#include <fmt/format.h>

#include "io/printable.hpp"
#include "io/utf8.hpp"

namespace stepvideo::io {

void put_path(Json& object, const std::string& name, const std::filesystem::path& path) {
  const std::string& bytes = path.native();
  const bool is_text = utf8_prefix(bytes) == bytes.size();
  object[name] = is_text ? bytes : printable(bytes);
  if (is_text) return;
  std::string digits;
  for (const char c : bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
  object[name + "_bytes"] = std::move(digits);
}

std::filesystem::path path_in(const Json& object, const std::string& name) {
  const auto text = [&](const std::string& field) {
    const Json value = object.is_object() ? object.value(field, Json()) : Json();
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  const std::string digits = text(name + "_bytes");
  std::string bytes;
  for (std::size_t i = 0; i + 2 <= digits.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.data() + i, digits.data() + i + 2, value, 16);
    if (error != std::errc{} || end != digits.data() + i + 2) return text(name);
    bytes += static_cast<char>(value);
  }
  return bytes.empty() ? text(name) : bytes;
}

}  // namespace stepvideo::io
