// What a file's name says it is.
#pragma once
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>

namespace stepvideo::io {

inline std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// The extension with its dot, in lower case: clip.MP4 is an mp4.
inline std::string extension_of(const std::filesystem::path& path) {
  return lower_case(path.extension().string());
}

}  // namespace stepvideo::io
