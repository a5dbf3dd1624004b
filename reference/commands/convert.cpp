#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/convert_write.hpp"
#include "commands/options.hpp"
#include "commands/values.hpp"
#include "interrupt.hpp"
#include "trace/units.hpp"

namespace stepvideo::commands {

void convert(const Arguments& arguments) {
  ConvertRequest request;
  std::vector<std::string> inputs;
  std::string dtype = "keep";
  std::optional<std::string> max_shard_size;
  Progress::Options options;
  FlagParser parser("convert", "weights from one layout, precision and naming to another, as safetensors");
  parser
      .flag("input", inputs,
            "safetensors or PyTorch file, folder or index.json, or a whole model's folder; given again, the "
            "next "
            "part of the checkpoint")
      .flag("output", request.output,
            "file *.safetensors, or folder for shards with their index; what makes a component whole goes "
            "along")
      .choice(
          "dtype", dtype, {"fp32", "bf16", "fp16", "fp8", "keep"},
          "fp32, bf16, fp16 or keep, for tensors of floating point; fp8: the matrices of the transformer's "
          "blocks, with "
          "scales beside them [keep]")
      .flag("max-shard-size", max_shard_size, "most bytes of tensors in a file of the folder [5GB]")
      .flag(
          "rename", request.renames,
          "REGEX=REPLACEMENT: change names, $1 is the first group; given again, applied one after the other")
      .flag("keep", request.keeps,
            "REGEX: write only tensors whose old name matches; given again, matches any [all]")
      .toggle("overwrite", request.overwrites,
              "replace what is there under --output [only what this conversion made]")
      .on_threads()
      .flag("log-file", options.log_file, "write events there, one JSON object a line")
      .toggle("quiet", options.is_quiet, "print nothing but errors")
      .require("input")
      .require("output");
  if (!parser.parse(arguments)) return;
  for (const auto& input : inputs) {
    require(!input.empty(), [] { return "--input is empty; it takes a path"; });
    request.inputs.emplace_back(input);
  }
  if (!request.output.has_filename()) request.output = request.output.parent_path();
  request.dtype = parse_target_dtype(dtype);
  if (max_shard_size) request.max_shard_bytes = parse_size("--max-shard-size", *max_shard_size);

  const ConvertPlan plan = plan_conversion(request);
  catch_interrupts();
  Progress progress(options);
  write_conversion(plan, progress);
  progress.print_summary();
  if (!options.is_quiet)
    fmt::print("{} tensors, {}, in {} file{} of {}{}\n", plan.tensors,
               trace::bytes_text(static_cast<double>(plan.bytes)), plan.files.size(),
               plan.files.size() == 1 ? "" : "s", plan.folder.string(),
               plan.copies.empty() ? "" : fmt::format(", and {} copied", plan.copies.size()));
}

}  // namespace stepvideo::commands
