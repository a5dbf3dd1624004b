// Which model it was: a short name of a component's content that takes no long reading.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "io/model_folder.hpp"
#include "io/stored_tensors.hpp"

namespace stepvideo::io {

/// The first 32 hexadecimal digits of a SHA-256 over the component's files: of a folder those whose names
/// end in .json, .safetensors, .bin, .model or .txt, in the order of their names. Each counts by its name,
/// its size and its content; of a tensor file that is its header (of a .bin, the first mebibyte) and 64
/// blocks of 4 KiB that lie evenly in the rest. Where the files lie does not count. So any change of a
/// configuration, a tokenizer, a tensor's name, shape, dtype or place changes the digest, and so does
/// training; an edit of a few bytes in the middle of a large file may not. Throws RequestError as
/// find_component, or naming a file that cannot be read.
std::string component_digest(const std::filesystem::path& model, Component component);

/// The same of weights that are no component yet: of the folder, the file, or the index with its shards, that
/// `stored` was opened from.
std::string weights_digest(const std::filesystem::path& path, const StoredTensors& stored);

/// The same number of digits over every tensor: names, dtypes, shapes and all bytes, and nothing of the
/// files' metadata.
std::string tensors_digest(const StoredTensors& stored);

/// The same number of digits over the text alone.
std::string text_digest(std::string_view text);

}  // namespace stepvideo::io
