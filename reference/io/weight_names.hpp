// What files of weights are called.
#pragma once
#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "io/extension.hpp"

namespace stepvideo::io {

inline constexpr std::string_view index_suffix = ".safetensors.index.json",
                                  torch_index_suffix = ".bin.index.json";

/// Whether it ends as `suffix`, one of the above, says, or, as diffusers calls those of a variant, in
/// "....index.VARIANT.json".
inline bool is_index_name(std::string_view name, std::string_view suffix) {
  constexpr std::string_view json = ".json";
  if (!name.ends_with(json)) return false;
  const std::string_view middle = suffix.substr(0, suffix.size() - json.size());  // ".safetensors.index"
  const auto found = name.rfind(middle);
  if (found == name.npos) return false;
  const std::string_view rest = name.substr(found + middle.size());
  return rest == json || (rest.starts_with('.') && rest.find('.', 1) == rest.size() - json.size());
}

/// The same for either.
inline bool is_index_name(std::string_view name) {
  return is_index_name(name, index_suffix) || is_index_name(name, torch_index_suffix);
}

/// What torch.save's files end in.
inline bool has_torch_name(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 4> extensions{".bin", ".pt", ".pth", ".ckpt"};
  return std::ranges::find(extensions, extension_of(path)) != extensions.end();
}

}  // namespace stepvideo::io
