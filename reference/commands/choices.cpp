#include "commands/choices.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace stepvideo::commands {
namespace {

using io::Json;

/// What is said of a field, before its value.
constexpr std::array<std::pair<const char*, const char*>, 5> texts{
    {{"prompt_suffix", "every prompt ends with "},
     {"negative", "negative prompt "},
     {"numerics", "time step, RoPE's angles and first noise rounded to bf16: numerics "},
     {"crop", "kept around the centre of each frame (width x height): "},
     {"denoise", "frames averaged over time (atadenoise): "}}};

}  // namespace

void note_choices(Progress& progress, const std::vector<const Json*>& manifests) {
  const Json nothing(std::string{});
  for (const auto& [field, text] : texts) {
    const Json value = manifests.front()->value(field, nothing);
    const auto is_alike = [&](const Json* manifest) { return manifest->value(field, nothing) == value; };
    if (value != nothing && std::ranges::all_of(manifests, is_alike))
      progress.note(field, text + io::excerpt(value));
  }
}

}  // namespace stepvideo::commands
