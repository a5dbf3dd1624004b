#include "io/manifest.hpp"

#include <fmt/format.h>

#include "io/extension.hpp"
#include "io/pending_file.hpp"
#include "io/safetensors.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

bool is_manifest(const Json& json) {
  return json.is_object() && json.contains("stepvideo") && json["stepvideo"].is_string();
}

fs::path manifest_beside(const fs::path& path) {
  return path.string() + ".json";
}

std::optional<Json> read_beside(const fs::path& path) {
  std::error_code unused;
  if (!fs::exists(path, unused)) return {};
  Json json = read_json(path);
  if (!is_manifest(json)) return {};
  return json;
}

}  // namespace

std::string manifest_text(const Json& manifest) {
  return manifest.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Json> parse_manifest(const std::string& text) {
  if (!text.starts_with('{')) return {};
  try {
    Json manifest = parse_json(text, "a manifest");
    if (is_manifest(manifest)) return manifest;
  } catch (const RequestError&) {  // another program's comment
  }
  return {};
}

void publish_with_manifest_beside(PendingFile& file, const fs::path& path,
                                  const std::function<std::string()>& manifest) {
  std::error_code unused;
  fs::remove(manifest_beside(path), unused);
  file.publish();
  if (manifest) write_file(manifest_beside(path), manifest() + '\n');
}

std::optional<Json> read_manifest(const fs::path& path) {
  std::error_code unused;
  require(fs::exists(path, unused),
          [&] { return path.string() + " is not there; give a file that this program wrote"; });
  if (fs::is_directory(path, unused)) return read_beside(path / "manifest.json");
  if (const VideoKind kind = video_kind(path);
      kind == VideoKind::y4m || kind == VideoKind::gif || kind == VideoKind::webp)
    return read_beside(manifest_beside(path));
  if (extension_of(path) == ".safetensors") {
    const auto file = SafetensorsFile::open(path);
    const auto entry = file.metadata().find("manifest");
    return entry == file.metadata().end() ? std::nullopt : parse_manifest(entry->second);
  }
  const auto comment = detail::read_container_comment(path);
  return comment ? parse_manifest(*comment) : std::nullopt;
}

}  // namespace stepvideo::io
