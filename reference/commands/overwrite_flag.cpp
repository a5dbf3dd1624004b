#include "commands/overwrite_flag.hpp"

#include <optional>
#include <string>

#include <fmt/format.h>

#include "io/manifest.hpp"
#include "io/pending_folder.hpp"
#include "pipeline/request.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

using io::Json;

/// What made the file, where that can be told: a video that decode made from a run's latents is the run's.
std::optional<Json> maker_of(const fs::path& output, const std::string& command) {
  std::optional<Json> found;
  try {
    found = io::read_manifest(output);
  } catch (const RequestError&) {  // neither a video nor tensors
  }
  if (!found || found->value("command", Json()) == command) return found;
  if (const Json sources = found->value("sources", Json::object()); sources.is_object())
    for (const auto& [name, source] : sources.items())
      if (source.is_object() && source.value("command", Json()) == command) return source;
  return found;
}

/// Whether there is nothing to lose: of a folder that stands alone the run's own work lies in it.
bool holds_nothing(const fs::path& output) {
  std::error_code unused;
  if (!io::stands_alone(output)) return fs::is_empty(output, unused);
  const std::string ours = io::whole_folder(output).filename().string() + ".";
  for (const auto& entry : fs::directory_iterator(output))
    if (!entry.path().filename().string().starts_with(ours)) return false;
  return true;
}

}  // namespace

void OverwriteFlag::require_own(const fs::path& output, const Json& asked) const {
  std::error_code unused;
  if (overwrites || !fs::exists(output, unused) || holds_nothing(output)) return;
  const auto found = maker_of(output, asked["command"]);
  const auto refuse_unless = [&](bool is_own, const auto& what) {
    require(is_own, [&] {
      return fmt::format("--output: {} is there{}; --overwrite replaces it, another name keeps it",
                         output.string(), what());
    });
  };
  refuse_unless(found.has_value(), [] { return " and no run of this program made it"; });
  std::string field = pipeline::differing_field(asked, *found);
  for (const char* const other : {"command", "latents", "input", "video"})
    if (field.empty() && found->value(other, Json()) != asked.value(other, Json())) field = other;
  refuse_unless(field.empty(), [&] {
    return fmt::format(", of a run with {}, and this one has {}", pipeline::describe_field(*found, field),
                       pipeline::describe_field(asked, field));
  });
}

void OverwriteFlag::require_own(const char* flag, const fs::path& file,
                                const std::function<bool()>& is_own) const {
  std::error_code unused;
  require(overwrites || !fs::exists(file, unused) || fs::is_empty(file, unused) || is_own(), [&] {
    return fmt::format("{}: {} is there; --overwrite replaces it, another name keeps it", flag,
                       file.string());
  });
}

}  // namespace stepvideo::commands
