#include <ranges>

#include <fmt/format.h>

#include "commands/bench_cpu.hpp"
#include "commands/bench_device.hpp"
#include "commands/command.hpp"
#include "commands/options.hpp"
#include "io/pending_file.hpp"

namespace stepvideo::commands {
namespace {

std::vector<std::string> names_in(const std::optional<std::string>& list) {
  std::vector<std::string> names;
  if (list)
    for (const auto name : *list | std::views::split(',')) names.emplace_back(name.begin(), name.end());
  return names;
}

void bench_linear(const Arguments& arguments) {
  MatmulSearchRequest request;
  std::string precision = "bf16,fp16,fp32";
  FlagParser parser("bench linear",
                    "searches the fastest algorithm of every matrix product of the model on this GPU");
  parser.flag("save", request.save, "write the table there, in the form of reference/plan/matmuls")
      .flag("precision", precision, "operands: bf16, fp16, fp32, with commas between [all]");
  if (!parser.parse(arguments)) return;
  request.precisions = names_in(precision);
  for (const auto& name : request.precisions)
    require(name == "bf16" || name == "fp16" || name == "fp32",
            [&] { return fmt::format("--precision: '{}' is none of bf16, fp16 and fp32", name); });
  if (request.save) io::require_writable_output("--save", *request.save, {".json"});
  bench_matmuls(request);
}

}  // namespace

/// `bench kernels` and `bench` are one command; only the latter goes on to a model. `bench linear` is
/// another.
void bench(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "linear")
    return bench_linear(Arguments(arguments.begin() + 1, arguments.end()));
  const bool is_kernels = !arguments.empty() && arguments.front() == "kernels";
  std::string device = "auto";
  std::optional<std::filesystem::path> model;
  std::optional<std::string> only;
  DeviceBenchRequest request;
  FlagParser parser(is_kernels ? "bench kernels" : "bench", "measures the kernels on this machine");
  parser.flag("device", device, "auto, cpu or cuda [cuda where there is a GPU]")
      .flag("only", only, "cuda: benches by name, with commas between [all]")
      .flag("pytorch", request.pytorch, "cuda: a Python whose PyTorch is timed first, for the ratios [none]")
      .flag("json", request.json, "cuda: write the figures there as well");
  if (!is_kernels)
    parser.flag("model", model, "cpu: checkpoint folder; also time its transformer and its VAE decoder");
  if (!parser.parse(is_kernels ? Arguments(arguments.begin() + 1, arguments.end()) : arguments)) return;
  require(device == "auto" || device == "cpu" || device == "cuda",
          [&] { return fmt::format("--device: '{}' is not a device; auto, cpu and cuda are", device); });
  const bool wants_device = only || request.pytorch || request.json;
  if (device == "auto") device = !model && (wants_device || can_bench_device()) ? "cuda" : "cpu";
  if (device == "cpu") {
    require(!wants_device, [] {
      return "--device cpu: --only, --pytorch and --json belong to the GPU's table; leave them out";
    });
    return bench_cpu(model);
  }
  require(!model,
          [] { return "--model: the model does not run on a GPU in this version yet; --device cpu works"; });
  if (request.json) io::require_writable_output("--json", *request.json, {".json"});
  request.only = names_in(only);
  bench_device(request);
}

}  // namespace stepvideo::commands
