#include <fmt/format.h>

#include "commands/bench_cpu.hpp"
#include "commands/command.hpp"
#include "commands/options.hpp"

namespace stepvideo::commands {

void bench(const Arguments& arguments) {
  std::string device = "auto";
  std::optional<std::filesystem::path> model;
  FlagParser parser("bench", "measures the kernels on this machine");
  parser.flag("device", device, "auto or cpu [auto]")
      .flag("model", model, "checkpoint folder: also time its transformer and its VAE decoder");
  if (!parser.parse(arguments)) return;
  require(device == "auto" || device == "cpu", [&] {
    return fmt::format("--device {}: this version measures the CPU's kernels; --device cpu works", device);
  });
  bench_cpu(model);
}

}  // namespace stepvideo::commands
