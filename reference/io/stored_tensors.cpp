#include "io/stored_tensors.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/mapped_file.hpp"
#include "io/torch_archive.hpp"
#include "io/weight_names.hpp"

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

constexpr std::array usual_names{"diffusion_pytorch_model.safetensors", "model.safetensors",
                                 "vae_v2.safetensors"};
constexpr std::array usual_torch_names{"diffusion_pytorch_model.bin", "pytorch_model.bin"};

struct FolderListing {
  std::vector<fs::path> indexes, files, torch_indexes, torch_files;
};

FolderListing list_folder(const fs::path& folder) {
  FolderListing listing;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(".")) continue;
    if (is_index_name(name, index_suffix)) listing.indexes.push_back(entry->path());
    if (name.ends_with(".safetensors")) listing.files.push_back(entry->path());
    if (is_index_name(name, torch_index_suffix)) listing.torch_indexes.push_back(entry->path());
    if (has_torch_name(name)) listing.torch_files.push_back(entry->path());
  }
  require(!error, [&] { return fmt::format("{} cannot be listed: {}", folder.string(), error.message()); });
  for (auto* paths : {&listing.indexes, &listing.files, &listing.torch_indexes, &listing.torch_files})
    std::ranges::sort(*paths);
  return listing;
}

/// The one of the folder's `files` to read: of a usual name, or the only one.
fs::path choose_file(const fs::path& folder, const std::vector<fs::path>& files, const auto& usual,
                     std::string_view kind) {
  for (const char* name : usual)
    if (std::ranges::find(files, folder / name) != files.end()) return folder / name;
  require(files.size() == 1, [&] {
    return fmt::format("{} holds {} {} files and none of the usual names ({}); name the file instead",
                       folder.string(), files.size(), kind, fmt::join(usual, ", "));
  });
  return files.front();
}

/// The index or file that stands for a folder.
fs::path choose(const fs::path& folder) {
  const FolderListing listing = list_folder(folder);
  const auto the_index = [&](const std::vector<fs::path>& indexes, std::string_view suffix) {
    // One without a variant goes before those of variants.
    const auto is_plain = [&](const fs::path& path) { return path.string().ends_with(suffix); };
    const auto plain = std::ranges::find_if(indexes, is_plain);
    if (std::ranges::count_if(indexes, is_plain) == 1) return *plain;
    require(indexes.size() == 1, [&] {
      std::vector<std::string> names;
      for (const auto& path : indexes) names.push_back(path.filename().string());
      return fmt::format("{} holds {} index files ({}); one works, or name it instead", folder.string(),
                         indexes.size(), fmt::join(names, ", "));
    });
    return indexes.front();
  };
  const bool has_plain_file = std::ranges::any_of(usual_names, [&](const char* name) {
    return std::ranges::find(listing.files, folder / name) != listing.files.end();
  });
  const bool has_plain_index = std::ranges::any_of(
      listing.indexes, [](const fs::path& path) { return path.string().ends_with(index_suffix); });
  if (!listing.indexes.empty() && (has_plain_index || !has_plain_file))
    return the_index(listing.indexes, index_suffix);
  if (!listing.files.empty()) return choose_file(folder, listing.files, usual_names, "safetensors");
  if (!listing.torch_indexes.empty()) return the_index(listing.torch_indexes, torch_index_suffix);
  if (!listing.torch_files.empty())
    return choose_file(folder, listing.torch_files, usual_torch_names, "PyTorch");
  throw RequestError(fmt::format(
      "{} holds no tensors; looked for *{}, {}, {} or one other *.safetensors or *.bin", folder.string(),
      index_suffix, fmt::join(usual_names, ", "), fmt::join(usual_torch_names, ", ")));
}

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\\') == name.npos && name.find('\0') == name.npos;
}

}  // namespace

std::map<std::string, StoredTensor> StoredTensors::open_file(const fs::path& path) {
  files_.push_back(path);
  const auto file = MappedFile::open(path, "a safetensors file");
  file_bytes_ += file.size;
  memory_.push_back(file.memory);
  if (is_torch_archive(file.bytes())) return read_torch_archive(file.bytes(), path.string());
  refuse_old_torch_file(file.bytes(), path.string());
  require(!has_torch_name(path) || extension_of(path) == ".safetensors", [&] {
    return path.string() + " is no zip archive; a file that torch.save wrote (since version 1.6) can be read";
  });
  const auto safetensors = SafetensorsFile::read(file, path);
  metadata_.insert(safetensors.metadata().begin(), safetensors.metadata().end());
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [name, record] : safetensors.tensors())
    tensors[name] = {record.dtype, record.shape, {}, record.bytes};
  return tensors;
}

void StoredTensors::open_index(const fs::path& index) {
  const fs::path folder = index.parent_path();
  const auto places = field<Json>(read_json(index), index, "weight_map");
  std::map<std::string, std::map<std::string, StoredTensor>> shards;
  std::error_code unused;
  for (const auto& place : places.items()) {
    const std::string& tensor = place.key();
    const Json& shard = place.value();
    require(shard.is_string() && is_plain_file_name(shard.get<std::string>()), [&] {
      return fmt::format("{} places tensor {} in {}; the name of a file in the same folder works",
                         index.string(), in_quotes(tensor), excerpt(shard));
    });
    const auto name = shard.get<std::string>();
    if (!shards.contains(name)) {
      require(fs::exists(folder / name, unused), [&] {
        return fmt::format("{} names the shard {}, which is not in its folder; copy or download it",
                           index.string(), in_quotes(name));
      });
      shards[name] = open_file(folder / name);
    }
    const auto found = shards[name].find(tensor);
    require(found != shards[name].end(), [&] {
      return fmt::format("{} places tensor {} in {}, which does not hold it", index.string(),
                         in_quotes(tensor), in_quotes(name));
    });
    tensors_[tensor] = found->second;
  }
  // What the index forgets belongs to the component all the same: scales, say.
  std::map<std::string, std::string> added;
  for (const auto& [shard, tensors] : shards)
    for (const auto& [name, tensor] : tensors) {
      if (places.contains(name)) continue;
      const auto [other, is_new] = added.emplace(name, shard);
      require(is_new, [&] {
        return fmt::format("{} does not say whether tensor {} is that of {} or of {}", index.string(),
                           in_quotes(name), other->second, shard);
      });
      tensors_[name] = tensor;
    }
}

StoredTensors StoredTensors::open(const fs::path& path) {
  StoredTensors stored;
  std::error_code unused;
  const fs::path chosen = fs::is_directory(path, unused) ? choose(path) : path;
  const std::string name = chosen.filename().string();
  if (name.ends_with(".index.json") || is_index_name(name, index_suffix) ||
      is_index_name(name, torch_index_suffix))
    stored.open_index(chosen);
  else
    stored.tensors_ = stored.open_file(chosen);
  return stored;
}

}  // namespace stepvideo::io
