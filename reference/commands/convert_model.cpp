#include "commands/convert_model.hpp"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"
#include "io/weight_names.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

struct Listing {
  std::vector<fs::path> folders, tensors, torch_files, indexes, torch_indexes, others;
};

Listing list(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    const std::string name = path.filename().string();
    std::error_code unused;
    if (name.starts_with(".")) continue;
    if (fs::is_directory(path, unused))
      listing.folders.push_back(path);
    else if (!fs::is_regular_file(path, unused))
      continue;
    else if (io::is_index_name(name, io::index_suffix))
      listing.indexes.push_back(path);
    else if (io::is_index_name(name, io::torch_index_suffix))
      listing.torch_indexes.push_back(path);
    else if (io::extension_of(path) == ".safetensors")
      listing.tensors.push_back(path);
    else if (io::has_torch_name(name))
      listing.torch_files.push_back(path);
    else
      listing.others.push_back(path);
  }
  require(!error, [&] { return fmt::format("{} cannot be listed: {}", folder.string(), error.message()); });
  for (auto* paths : {&listing.folders, &listing.tensors, &listing.torch_files, &listing.others})
    std::ranges::sort(*paths);
  return listing;
}

bool has_weights(const Listing& listing) {
  return !listing.tensors.empty() || !listing.torch_files.empty() || !listing.indexes.empty() ||
         !listing.torch_indexes.empty();
}

/// Calls `visit(listing, folder)` for the folder and all below; `folder` is from the first.
template <class Visit>
void walk(const fs::path& root, const fs::path& folder, Visit&& visit) {
  constexpr int deepest = 8;
  require(std::distance(folder.begin(), folder.end()) <= deepest, [&] {
    return fmt::format(
        "--input: {} has folders in folders, {} deep; a model's folder, or one component's, works",
        root.string(), deepest);
  });
  const Listing listing = list(root / folder);
  visit(listing, folder);
  for (const fs::path& below : listing.folders) walk(root, folder / below.filename(), visit);
}

}  // namespace

bool is_whole_model(const fs::path& path) {
  std::error_code unused;
  if (!fs::is_directory(path, unused) || has_weights(list(path))) return false;
  bool is_whole = false;
  walk(path, {},
       [&](const Listing& listing, const fs::path&) { is_whole = is_whole || has_weights(listing); });
  return is_whole;
}

ModelTree read_model_tree(const fs::path& model) {
  ModelTree tree;
  walk(model, {}, [&](const Listing& listing, const fs::path& folder) {
    const bool has_index =
        !listing.indexes.empty() || (listing.tensors.empty() && !listing.torch_indexes.empty());
    if (has_index) {
      tree.parts.push_back({model / folder, folder});
    } else {
      for (const fs::path& file : listing.tensors.empty() ? listing.torch_files : listing.tensors)
        tree.parts.push_back({file, folder});
    }
    for (const fs::path& file : listing.others) tree.copies.push_back({file, folder / file.filename()});
  });
  return tree;
}

std::vector<CopiedFile> files_beside_weights(const fs::path& folder) {
  std::vector<CopiedFile> copies;
  for (const fs::path& file : list(folder).others) copies.push_back({file, file.filename()});
  return copies;
}

}  // namespace stepvideo::commands
