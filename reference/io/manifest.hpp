// What made a file: a JSON object that every output carries.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "io/json.hpp"

namespace stepvideo::io {

/// One line; bytes that are not UTF-8, which paths may hold, are replaced.
std::string manifest_text(const Json& manifest);

/// The manifest in `text`, or nothing where the text is something else: a manifest is a JSON object whose
/// `stepvideo` is the version of the program that wrote it.
std::optional<Json> parse_manifest(const std::string& text);

/// The manifest of a file that this program wrote, or nothing where it has none. It is the entry `manifest`
/// of a safetensors file's metadata; the tag `comment` of a video container; the file NAME.json beside a
/// .y4m, .gif or .webp; the file manifest.json in a folder. Throws RequestError naming the file: not there,
/// not readable.
std::optional<Json> read_manifest(const std::filesystem::path& path);

class PendingFile;
/// Gives a file its name and its manifest, where there is one, NAME.json. At no moment does a manifest stand
/// beside a file that it did not make.
void publish_with_manifest_beside(PendingFile& file, const std::filesystem::path& path,
                                  const std::function<std::string()>& manifest);

}  // namespace stepvideo::io
