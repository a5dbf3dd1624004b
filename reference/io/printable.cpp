#include "io/printable.hpp"

#include <fmt/format.h>

#include "io/utf8.hpp"

namespace stepvideo::io {

std::string printable(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto code = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const std::size_t length = utf8_length(text.substr(i));
    const bool is_c1 = code == 0xC2 && next >= 0x80 && next <= 0x9F;  // U+0080 to U+009F in UTF-8
    if (is_c1)
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else if (code < 0x20 || code == 0x7f || length == 0)
      result += fmt::format("\\x{:02x}", code);
    else
      result += text.substr(i, length), i += length - 1;
  }
  return result;
}

std::string printable_lines(std::string_view text) {
  std::string result;
  for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    result += printable(text.substr(0, end)) + '\n';
    text.remove_prefix(end + 1);
  }
  return result + printable(text);
}

std::string in_shell(std::string_view text) {
  const bool is_plain = printable(text) == text;
  std::string word;
  for (const char c : text) {
    if (is_plain && c == '\'')
      word += "'\\''";
    else
      word += !is_plain && (c == '\'' || c == '\\') ? std::string{'\\', c} : std::string{c};
  }
  return is_plain ? "'" + word + "'" : "$'" + printable(word) + "'";
}

}  // namespace stepvideo::io
