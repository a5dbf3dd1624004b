#include "commands/convert_plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <regex>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "commands/provenance.hpp"
#include "io/checkpoint.hpp"
#include "io/extension.hpp"
#include "io/json.hpp"
#include "io/pending_folder.hpp"
#include "model/block_slab.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t usual_shard_bytes = 5'000'000'000;

std::regex compile(const char* flag, const std::string& text, const std::string& whole) {
  require(!text.empty(),
          [&] { return fmt::format("{}: {} has no regular expression", flag, io::in_quotes(whole)); });
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw RequestError(
        fmt::format("{}: {} is not a regular expression: {}", flag, io::in_quotes(text), error.what()));
  }
}

/// A regular expression of the command line, and whether any name matched it.
struct Pattern {
  std::string text;
  std::regex regex;
  std::string replacement = {};
  bool is_used = false;

  bool matches(const std::string& name) {
    const bool found = std::regex_search(name, regex);
    is_used = is_used || found;
    return found;
  }
};

std::vector<Pattern> compile_keeps(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const auto& text : texts) patterns.push_back({text, compile("--keep", text, text)});
  return patterns;
}

std::vector<Pattern> compile_renames(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const auto& text : texts) {
    const auto equals = text.rfind('=');
    require(equals != text.npos, [&] {
      return fmt::format("--rename: {} has no '='; write REGEX=REPLACEMENT, as in '^model\\.='",
                         io::in_quotes(text));
    });
    patterns.push_back({text, compile("--rename", text.substr(0, equals), text), text.substr(equals + 1)});
  }
  return patterns;
}

void require_used(const char* flag, const std::vector<Pattern>& patterns, std::uint64_t names) {
  for (const auto& pattern : patterns)
    require(pattern.is_used, [&] {
      return fmt::format("{}: {} matches none of the {} names", flag, io::in_quotes(pattern.text), names);
    });
}

/// All tensors under their new names.
std::map<std::string, ConvertedTensor> select(const ConvertRequest& request,
                                              const std::vector<io::StoredTensors>& inputs) {
  constexpr std::size_t longest_name = 4096;  // std::regex recurses along its subject
  auto keeps = compile_keeps(request.keeps);
  auto renames = compile_renames(request.renames);
  std::map<std::string, ConvertedTensor> selected;
  std::vector<std::string> quantized;
  std::uint64_t names = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (const auto& [old_name, tensor] : inputs[i].tensors()) {
      ++names;
      const std::string origin = fmt::format("{} of {}", io::in_quotes(old_name.substr(0, longest_name)),
                                             request.inputs[i].string());
      require(old_name.size() <= longest_name || (keeps.empty() && renames.empty()), [&] {
        return fmt::format(
            "--rename and --keep: {}... of {} has a name of more than {} bytes; without them it "
            "can be converted",
            io::in_quotes(old_name.substr(0, 80)), request.inputs[i].string(), longest_name);
      });
      bool is_kept = keeps.empty();
      for (auto& keep : keeps) is_kept = keep.matches(old_name) || is_kept;
      if (!is_kept) continue;
      std::string name = old_name;
      for (auto& rename : renames)
        if (rename.matches(name)) name = std::regex_replace(name, rename.regex, rename.replacement);
      require(!name.empty() && name != "__metadata__" && name.size() <= longest_name, [&] {
        return fmt::format(
            "--rename: {} would be called {}; names of 1 to {} bytes other than __metadata__ work", origin,
            io::in_quotes(name.substr(0, 80)), longest_name);
      });
      const bool is_floating = tensor.dtype <= io::Dtype::f8_e4m3;
      io::Dtype dtype = is_floating ? request.dtype.value_or(tensor.dtype) : tensor.dtype;
      if (request.dtype == io::Dtype::f8_e4m3 && !model::BlockSlab::is_fp8_matrix(name)) dtype = tensor.dtype;
      const auto [place, is_new] = selected.emplace(name, ConvertedTensor{name, dtype, tensor, origin});
      require(is_new, [&] {
        return fmt::format(
            "{} and {} would both be called {}; --rename gives another name, --keep leaves one out",
            place->second.origin, origin, io::in_quotes(name));
      });
      if (place->second.is_quantized()) quantized.push_back(name);
    }
  for (const std::string& name : quantized) {
    ConvertedTensor scales = selected.at(name);
    require(scales.from.shape.size() == 2, [&] {
      return fmt::format("--dtype fp8: {} has shape {}; a matrix is due", scales.origin,
                         io::to_string(scales.from.shape));
    });
    scales.name = io::scales_of(name), scales.dtype = io::Dtype::f32, scales.is_scales = true;
    const auto [place, is_new] = selected.emplace(scales.name, scales);
    require(is_new, [&] {
      return fmt::format(
          "--dtype fp8: the scales of {} would be called as {} is; --rename gives that another name",
          scales.origin, place->second.origin);
    });
  }
  require(request.dtype != io::Dtype::f8_e4m3 || !quantized.empty(), [&] {
    return fmt::format(
        "--dtype fp8: {} holds no matrix of a video transformer's blocks that is not fp8 already; "
        "bf16 works",
        request.inputs.front().string());
  });
  require_used("--keep", keeps, names);
  require_used("--rename", renames, names);
  require(!selected.empty(),
          [&] { return fmt::format("--input: {} holds no tensors", request.inputs.front().string()); });
  return selected;
}

std::uint64_t bytes_of(const ConvertedTensor& tensor) {
  // Checked where the tensor was read for its stored dtype, and no dtype is wider than 8 times another.
  return io::tensor_bytes(tensor.dtype, tensor.shape()).value_or(std::uint64_t{1} << 63);
}

/// Fills files in the order of names; a file is closed when the next tensor would make it too large.
std::vector<ConvertedFile> split(std::map<std::string, ConvertedTensor> tensors, std::uint64_t most_bytes) {
  std::vector<ConvertedFile> files(1);
  std::uint64_t bytes = 0;
  for (auto& [name, tensor] : tensors) {
    const std::uint64_t more = bytes_of(tensor);
    if (bytes > 0 && (more > most_bytes || bytes > most_bytes - more)) {
      files.emplace_back();
      bytes = 0;
    }
    bytes += more;
    files.back().tensors.push_back(std::move(tensor));
  }
  for (auto& file : files)
    std::ranges::stable_sort(file.tensors, std::ranges::greater{},
                             [](const ConvertedTensor& tensor) { return io::dtype_bytes(tensor.dtype); });
  return files;
}

bool is_single_file(const fs::path& output) {
  return io::extension_of(output) == ".safetensors";
}

/// Where a folder is to be made, its parent; else itself.
fs::path nearest_folder(const fs::path& folder) {
  std::error_code unused;
  if (fs::is_directory(folder, unused)) return folder;
  return io::folder_of(folder);
}

fs::path staging_target(const fs::path& folder) {
  std::error_code unused;
  return fs::is_directory(folder, unused) ? folder / "model.safetensors" : folder;
}

void require_output_folder(const fs::path& folder) {
  constexpr std::array<std::string_view, 4> others{".bin", ".pt", ".pth", ".ckpt"};
  require(std::ranges::find(others, io::extension_of(folder)) == others.end(), [&] {
    return fmt::format(
        "--output: {} would not be a safetensors file; a name that ends in .safetensors or a "
        "folder works",
        folder.string());
  });
  std::error_code error;
  if (!fs::exists(folder, error))
    return io::require_writable_folder("--output", folder, [](const std::string&) { return false; });
  require(fs::is_directory(folder, error), [&] {
    return fmt::format("--output: {} is no folder; a folder or a name that ends in .safetensors works",
                       folder.string());
  });
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    require(name.starts_with(".") ||
                !(name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")),
            [&] {
              return fmt::format("--output: {} already holds {}; a folder without safetensors files works",
                                 folder.string(), name);
            });
  }
  io::require_writable_output("--output", staging_target(folder), {".safetensors"});
}

void require_space(const fs::path& folder, std::uint64_t bytes) {
  std::error_code error;
  const auto space = fs::space(folder, error);
  require(error || space.available >= bytes, [&] {
    return fmt::format(
        "--output: the tensors take {:.1f} GB and {} has {:.1f} GB left; a smaller --dtype or "
        "another disk works",
        1e-9 * static_cast<double>(bytes), folder.string(), 1e-9 * static_cast<double>(space.available));
  });
}

/// What the files say of themselves. Nothing in it differs between two conversions of the same input, so that
/// their files do not either.
std::map<std::string, std::string> metadata_of(const ConvertRequest& request,
                                               const std::vector<io::StoredTensors>& inputs) {
  io::Json manifest = start_manifest("convert");
  manifest["dtype"] = request.dtype ? io::dtype_name(*request.dtype) : "keep";
  if (!request.renames.empty()) manifest["rename"] = request.renames;
  if (!request.keeps.empty()) manifest["keep"] = request.keeps;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    add_weights(manifest, inputs.size() == 1 ? "input" : fmt::format("input_{}", i + 1), request.inputs[i],
                inputs[i]);
  auto metadata = as_metadata(manifest);
  for (const auto& input : inputs) metadata.insert(input.metadata().begin(), input.metadata().end());
  metadata.emplace("format", "pt");  // other programs refuse files that do not say so
  return metadata;
}

/// A diffusion model's files keep their usual name, so that the folder reads like the one it came from.
std::string base_name(const io::StoredTensors& input) {
  constexpr std::string_view diffusion = "diffusion_pytorch_model";
  const std::string first = input.files().empty() ? "" : input.files().front().filename().string();
  return first.starts_with(diffusion) ? std::string(diffusion) : "model";
}

}  // namespace

ConvertPlan plan_conversion(const ConvertRequest& request) {
  const bool is_file = is_single_file(request.output);
  require(!is_file || !request.max_shard_bytes, [&] {
    return fmt::format("--max-shard-size: {} is one file; shards are written to a folder",
                       request.output.string());
  });
  if (is_file)
    io::require_writable_output("--output", request.output, {".safetensors"});
  else
    require_output_folder(request.output);

  ConvertPlan plan;
  plan.is_single_file = is_file;
  for (const auto& input : request.inputs) plan.inputs.push_back(io::StoredTensors::open(input));
  plan.metadata = metadata_of(request, plan.inputs);
  auto tensors = select(request, plan.inputs);
  plan.tensors = tensors.size();
  for (const auto& [name, tensor] : tensors) {
    const bool overflows = __builtin_add_overflow(plan.bytes, bytes_of(tensor), &plan.bytes);
    require(!overflows && plan.bytes < std::uint64_t{1} << 62, [&] {
      return fmt::format("{} would take more bytes than any disk has; save it with .contiguous()",
                         tensor.origin);
    });
  }
  plan.folder = is_file ? io::folder_of(request.output) : request.output;
  plan.staged_beside = staging_target(plan.folder);
  require_space(nearest_folder(plan.folder), plan.bytes);

  if (is_file) {
    plan.files = split(std::move(tensors), plan.bytes);
    plan.files.front().name = request.output.filename().string();
    return plan;
  }
  plan.files = split(std::move(tensors), request.max_shard_bytes.value_or(usual_shard_bytes));
  const std::string base = base_name(plan.inputs.front());
  const std::size_t count = plan.files.size();
  for (std::size_t i = 0; i < count; ++i)
    plan.files[i].name =
        count == 1 ? base + ".safetensors" : fmt::format("{}-{:05}-of-{:05}.safetensors", base, i + 1, count);
  if (count > 1) plan.index = base + ".safetensors.index.json";
  return plan;
}

std::optional<io::Dtype> parse_target_dtype(std::string_view text) {
  if (text == "keep") return {};
  if (text == "fp32") return io::Dtype::f32;
  if (text == "bf16") return io::Dtype::bf16;
  if (text == "fp16") return io::Dtype::f16;
  if (text == "fp8") return io::Dtype::f8_e4m3;
  throw RequestError(fmt::format("--dtype: '{}' is not a dtype; fp32, bf16, fp16, fp8 and keep are", text));
}

}  // namespace stepvideo::commands
