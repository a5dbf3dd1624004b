// Bytes as text, for data: addresses.
#pragma once
#include <string>
#include <string_view>

namespace stepvideo::io {

/// RFC 4648, padded, in one line.
std::string base64(std::string_view bytes);

}  // namespace stepvideo::io
