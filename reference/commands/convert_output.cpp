#include "commands/convert_output.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"
#include "io/json.hpp"
#include "io/manifest.hpp"
#include "io/pending_file.hpp"
#include "io/pending_folder.hpp"
#include "io/weight_names.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

/// Within a folder that is there and keeps what it holds, what is gathered goes by this name.
constexpr auto name_within = "model.safetensors";

bool is_there(const fs::path& path) {
  std::error_code unused;
  return fs::exists(path, unused);
}

void require_folder(const fs::path& folder) {
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
  io::require_writable_output("--output", folder / name_within, {".safetensors"});
}

/// Throws RequestError where the folder holds what the plan would not bring back.
void require_nothing_is_lost(const ConvertPlan& plan) {
  std::set<fs::path> names;
  for (const auto& file : plan.files) names.insert(file.name);
  for (const auto& index : plan.indexes) names.insert(index.name);
  for (const auto& copy : plan.copies) names.insert(copy.name);
  std::error_code error;
  for (fs::recursive_directory_iterator entry(plan.folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path name = entry->path().lexically_relative(plan.folder);
    std::error_code unused;
    if (entry->is_directory(unused) && !entry->is_symlink(unused)) continue;
    const std::string bare = name.filename().string();
    const bool is_converted = io::extension_of(name) == ".safetensors" || bare.ends_with(io::index_suffix);
    require(is_converted || names.contains(name), [&] {
      return fmt::format(
          "--output: {} holds {}, which --overwrite would lose; a new folder works, or one that holds "
          "nothing "
          "but what convert writes",
          plan.folder.string(), name.string());
    });
  }
  require(!error, [&] {
    return fmt::format("--output: {} cannot be listed: {}", plan.folder.string(), error.message());
  });
  try {
    io::PendingFolder probe(plan.folder);
  } catch (const Error& refusal) {
    throw RequestError(fmt::format("--output: {}", refusal.what()));
  }
}

/// Whether this conversion, with this version or another, wrote what lies under the name.
bool is_own(const fs::path& folder, const ConvertedFile& file) {
  std::optional<io::Json> found;
  try {
    found = io::read_manifest(folder / file.name);
  } catch (const RequestError&) {  // not there, or holds no tensors
  }
  auto asked = io::parse_manifest(file.metadata.at("manifest"));
  for (auto* manifest : {&found, &asked})
    if (*manifest && (*manifest)->is_object()) (*manifest)->erase("stepvideo");  // the version
  return found && found == asked;
}

/// The first of what a folder holds that the plan's files would lie among: tensors, or, where folders are
/// written, anything. Empty where there is nothing.
std::string found_in(const fs::path& folder, bool is_model) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(".") &&
        (is_model || name.ends_with(".safetensors") || io::is_index_name(name, io::index_suffix)))
      return name;
  }
  return {};
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

}  // namespace

bool is_single_file(const fs::path& output) {
  return io::extension_of(output) == ".safetensors";
}

void require_output(const ConvertRequest& request, bool is_model) {
  if (!is_single_file(request.output)) return require_folder(request.output);
  require(!is_model, [&] {
    return fmt::format(
        "--output: {} is one file and {} is a whole model; a folder works, or --input with one "
        "component's folder",
        request.output.string(), request.inputs.front().string());
  });
  require(!request.max_shard_bytes, [&] {
    return fmt::format("--max-shard-size: {} is one file; shards are written to a folder",
                       request.output.string());
  });
  io::require_writable_output("--output", request.output, {".safetensors"});
}

void settle_output(const ConvertRequest& request, bool is_model, ConvertPlan& plan) {
  const fs::path& folder = plan.folder;
  const bool may_replace = request.overwrites || std::ranges::all_of(plan.files, [&](const auto& file) {
                             return is_own(folder, file);
                           });
  std::error_code unused;
  plan.staged_beside = folder;
  if (plan.is_single_file) {
    const fs::path& file = request.output;
    require(may_replace || !is_there(file) || fs::is_empty(file, unused), [&] {
      return fmt::format(
          "--output: {} is there, and this conversion did not make it; --overwrite replaces it, another name "
          "keeps it",
          file.string());
    });
  } else if (is_there(folder)) {
    const std::string found = found_in(folder, is_model);
    require(found.empty() || may_replace, [&] {
      return fmt::format(
          "--output: {} already holds {}; a folder without {} works, and --overwrite replaces what convert "
          "writes",
          folder.string(), found, is_model ? "files" : "safetensors files");
    });
    plan.replaces = !found.empty();
    if (plan.replaces) {
      require_nothing_is_lost(plan);
    } else {
      plan.staged_beside = folder / name_within;
      std::erase_if(plan.copies, [&](const CopiedFile& copy) { return is_there(folder / copy.name); });
    }
  }
  std::uint64_t bytes = plan.bytes;
  for (const CopiedFile& copy : plan.copies) bytes += fs::file_size(copy.from, unused);
  require_space(is_there(folder) ? folder : io::folder_of(folder), bytes);
}

}  // namespace stepvideo::commands
