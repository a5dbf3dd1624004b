// What every reader of foreign files is held to. A target is one source that defines read_file(); with g++ it
// is linked to replay.cpp, with clang to libFuzzer.
#pragma once
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string_view>

namespace stepvideo::fuzz {

using Bytes = std::span<const std::byte>;

/// Defined by each target: reads the file as a command would, and looks at all of what comes back. Throws
/// RequestError to refuse.
void read_file(Bytes file);

/// Whether read_file() accepts the file. A refusal must be one short sentence without control characters;
/// what else is thrown is let through and ends the program.
bool accepts(Bytes file);

inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The bytes as a file that can be opened by its path until the next call.
std::filesystem::path as_file(Bytes bytes);

/// Lays out a folder, for readers of several files, until the next call: `files` holds them one behind the
/// other, each after a line "=== NAME". Names that are not among `names` are left out.
std::filesystem::path as_folder(Bytes files, std::initializer_list<std::string_view> names);

}  // namespace stepvideo::fuzz
