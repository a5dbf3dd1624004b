// Paths in JSON, whose texts are UTF-8 where names of files are any bytes.
#pragma once
#include <filesystem>

#include "io/json.hpp"

namespace stepvideo::io {

/// Puts the path under `name`, and, where it is no UTF-8, all its bytes as hexadecimal digits under
/// `name`_bytes.
void put_path(Json& object, const std::string& name, const std::filesystem::path& path);

/// The path that put_path() put; empty where there is none.
std::filesystem::path path_in(const Json& object, const std::string& name);

}  // namespace stepvideo::io
