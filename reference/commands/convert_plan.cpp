#include "commands/convert_plan.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "commands/convert_output.hpp"
#include "commands/convert_select.hpp"
#include "commands/provenance.hpp"
#include "io/checkpoint.hpp"
#include "io/json.hpp"
#include "io/pending_file.hpp"
#include "io/weight_names.hpp"
#include "model/block_slab.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t usual_shard_bytes = 5'000'000'000;
constexpr std::string_view usual_base = "model", diffusion_base = "diffusion_pytorch_model";

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

/// Of a file that stands alone in its folder, or of a shard, the name without what counts it: what finds it
/// will find the result.
std::string base_in_folder(const io::StoredTensors& input) {
  std::string base = input.files().front().stem().string();
  if (const auto of = base.rfind("-of-"); of != base.npos)
    if (const auto dash = base.rfind('-', of - 1); of > 0 && dash != base.npos) base.resize(dash);
  return base == "pytorch_model" ? std::string(usual_base) : base;
}

/// A diffusion model's files keep their usual name, so that the folder reads like the one it came from.
std::string base_of_files(const io::StoredTensors& input) {
  const std::string first = input.files().empty() ? "" : input.files().front().filename().string();
  return std::string(first.starts_with(diffusion_base) ? diffusion_base : usual_base);
}

/// Adds what becomes of the request's inputs, in `folder` of the output. `keeps_name`: as a folder that is
/// read as a whole has it.
void add_part(ConvertPlan& plan, const ConvertRequest& request, const fs::path& folder, bool keeps_name) {
  std::vector<io::StoredTensors> inputs;
  for (const auto& input : request.inputs) inputs.push_back(io::StoredTensors::open(input));
  auto tensors = select_tensors(request, inputs);
  plan.tensors += tensors.size();
  for (const auto& [name, tensor] : tensors) {
    const bool overflows = __builtin_add_overflow(plan.bytes, bytes_of(tensor), &plan.bytes);
    require(!overflows && plan.bytes < std::uint64_t{1} << 62, [&] {
      return fmt::format("{} would take more bytes than any disk has; save it with .contiguous()",
                         tensor.origin);
    });
  }
  const std::string base = keeps_name ? base_in_folder(inputs.front()) : base_of_files(inputs.front());
  // A file that is found by a name of its own stays one.
  const bool is_one = plan.is_single_file || (base != usual_base && base != diffusion_base);
  auto files = split(std::move(tensors), is_one ? std::numeric_limits<std::uint64_t>::max()
                                                : request.max_shard_bytes.value_or(usual_shard_bytes));
  const auto metadata = metadata_of(request, inputs);
  const std::size_t count = files.size();
  if (count > 1)
    plan.indexes.push_back({folder / (base + ".safetensors.index.json"), plan.files.size(), count});
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name =
        count == 1 ? base + ".safetensors" : fmt::format("{}-{:05}-of-{:05}.safetensors", base, i + 1, count);
    files[i].name = plan.is_single_file ? request.output.filename() : folder / name;
    files[i].metadata = metadata;
    plan.files.push_back(std::move(files[i]));
  }
  std::ranges::move(inputs, std::back_inserter(plan.inputs));
}

bool has_fp8_matrix(const fs::path& input) {
  const auto stored = io::StoredTensors::open(input);
  return std::ranges::any_of(
      stored.tensors(), [](const auto& tensor) { return model::BlockSlab::is_fp8_matrix(tensor.first); });
}

void add_model(ConvertPlan& plan, const ConvertRequest& request) {
  const fs::path& model = request.inputs.front();
  require(request.renames.empty() && request.keeps.empty(), [&] {
    return fmt::format(
        "{}: {} is a whole model, whose parts have names of their own; --input with one "
        "component's folder works",
        request.renames.empty() ? "--keep" : "--rename", model.string());
  });
  ModelTree tree = read_model_tree(model);
  bool has_fp8 = false;
  for (const ModelPart& part : tree.parts) {
    ConvertRequest of_part = request;
    of_part.inputs = {part.input};
    const bool is_fp8 = request.dtype == io::Dtype::f8_e4m3 && has_fp8_matrix(part.input);
    if (request.dtype == io::Dtype::f8_e4m3 && !is_fp8) of_part.dtype.reset();
    has_fp8 = has_fp8 || is_fp8;
    add_part(plan, of_part, part.folder, true);
  }
  require(request.dtype != io::Dtype::f8_e4m3 || has_fp8, [&] {
    return fmt::format("--dtype fp8: {} holds no matrix of a video transformer's blocks; bf16 works",
                       model.string());
  });
  plan.copies = std::move(tree.copies);
}

/// The folder that the input stands for, where it is one or its index.
std::optional<fs::path> folder_read(const fs::path& input) {
  std::error_code unused;
  if (fs::is_directory(input, unused)) return input;
  if (io::is_index_name(input.filename().string())) return io::folder_of(input);
  return {};
}

}  // namespace

ConvertPlan plan_conversion(const ConvertRequest& request) {
  const bool is_model = request.inputs.size() == 1 && is_whole_model(request.inputs.front());
  require_output(request, is_model);
  ConvertPlan plan;
  plan.is_single_file = is_single_file(request.output);
  plan.folder = plan.is_single_file ? io::folder_of(request.output) : request.output;
  if (is_model) {
    add_model(plan, request);
  } else {
    const auto folder = request.inputs.size() == 1 ? folder_read(request.inputs.front()) : std::nullopt;
    add_part(plan, request, {}, folder.has_value());
    if (folder && !plan.is_single_file) plan.copies = files_beside_weights(*folder);
  }
  settle_output(request, is_model, plan);
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
