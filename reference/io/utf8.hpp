// Text of other programs: which bytes are UTF-8.
#pragma once
#include <cstddef>
#include <string_view>

namespace stepvideo::io {

/// The length of the well-formed sequence at the start of `bytes`, which is not empty; 0 when there is none.
constexpr std::size_t utf8_length(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0 || bytes.size() < length) return 0;
  // The second byte is narrower after four leads: no overlong forms, no surrogates, nothing past U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  return length;
}

/// The bytes before the first that starts no character.
constexpr std::size_t utf8_prefix(std::string_view bytes) {
  std::size_t position = 0;
  while (position < bytes.size()) {
    const std::size_t length = utf8_length(bytes.substr(position));
    if (length == 0) break;
    position += length;
  }
  return position;
}

}  // namespace stepvideo::io
