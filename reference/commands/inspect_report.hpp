// What a file or folder is: who made it, which tensors it holds.
#pragma once
#include <filesystem>
#include <string>

#include "io/manifest.hpp"

namespace stepvideo::commands {

/// `path` and whichever apply: `manifest` (of an output), `tensors` (name, dtype, shape, bytes; of a file, an
/// index with its shards, or a component's folder), `totals` (tensors, elements, bytes, and elements by
/// dtype), `metadata` (what a safetensors file says about itself, but for the manifest), `components` (of a
/// whole model: name, path, digest, files and totals of each that is there). Throws RequestError naming the
/// file: not there, damaged, neither video nor tensors.
io::Json inspect_path(const std::filesystem::path& path);

/// The same for people. Names are escaped: a file cannot write to the terminal on its own account.
std::string to_text(const io::Json& report);

}  // namespace stepvideo::commands
