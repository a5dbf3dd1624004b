// --overwrite: whose file may be replaced.
#pragma once
#include <filesystem>
#include <functional>

#include "commands/options.hpp"
#include "io/json.hpp"

namespace stepvideo::commands {

struct OverwriteFlag {
  bool overwrites = false;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("Keeping work");
    parser.toggle("overwrite", overwrites,
                  "replace what is there under the output's name, whatever made it [only what this request "
                  "made]");
  }

  /// Throws RequestError naming --output where something is there that the request of the manifest `asked`
  /// did not make. An empty file is nobody's.
  void require_own(const std::filesystem::path& output, const io::Json& asked) const;

  /// The same of a file without a manifest, under `flag`: `is_own` says whether this command wrote it.
  void require_own(const char* flag, const std::filesystem::path& file,
                   const std::function<bool()>& is_own) const;
};

}  // namespace stepvideo::commands
