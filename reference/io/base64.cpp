#include "io/base64.hpp"

#include <openssl/evp.h>

namespace stepvideo::io {

std::string base64(std::string_view bytes) {
  constexpr std::size_t piece = 3 << 20;  // OpenSSL counts in int; a multiple of 3 needs no padding within
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4 + 1);
  for (std::size_t first = 0; first < bytes.size(); first += piece) {
    const std::string_view part = bytes.substr(first, piece);
    const std::size_t before = text.size();
    text.resize(before + (part.size() + 2) / 3 * 4 + 1);  // OpenSSL ends with a zero
    const int length =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data() + before),
                        reinterpret_cast<const unsigned char*>(part.data()), static_cast<int>(part.size()));
    text.resize(before + static_cast<std::size_t>(length));
  }
  return text;
}

}  // namespace stepvideo::io
