#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/inspect_report.hpp"
#include "commands/options.hpp"

namespace stepvideo::commands {

void inspect(const Arguments& arguments) {
  std::vector<std::string> paths;
  bool wants_json = false;
  FlagParser parser("inspect",
                    "what made a file, and which tensors it holds: inspect FILE|FOLDER, an output, a file of "
                    "weights, a component or a whole model");
  parser.words(paths).toggle("json", wants_json, "print JSON");
  if (!parser.parse(arguments)) return;
  require(paths.size() == 1 && !paths.front().empty(), [&] {
    return fmt::format("inspect takes one file or folder and {} {} given", paths.size(),
                       paths.size() == 1 ? "empty one is" : "are");
  });
  const io::Json report = inspect_path(paths.front());
  std::cout << (wants_json ? io::manifest_text(report) + '\n' : to_text(report));
}

}  // namespace stepvideo::commands
