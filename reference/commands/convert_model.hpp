// A folder of weights as it lies: the parts of a whole model, and what stands beside weights and makes a
// component whole.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace stepvideo::commands {

/// A file that goes along as it is; `name` is where to, from the output's folder.
struct CopiedFile {
  std::filesystem::path from, name;
};

/// Weights of a model: a folder with its index or its only file, or one file of several.
struct ModelPart {
  std::filesystem::path input;
  std::filesystem::path folder;  ///< from the model's own
};

struct ModelTree {
  std::vector<ModelPart> parts;
  std::vector<CopiedFile> copies;
};

/// Whether it is a folder without weights of its own whose folders have some: a whole model, or several
/// components together.
bool is_whole_model(const std::filesystem::path& path);

/// Its folders, links followed, hidden names left out. Where a folder has safetensors files, PyTorch's are
/// left out, as everywhere. Throws RequestError where a folder cannot be listed or they nest too deep.
ModelTree read_model_tree(const std::filesystem::path& model);

/// What stands beside the weights of one component: the folder's files that are no weights.
std::vector<CopiedFile> files_beside_weights(const std::filesystem::path& folder);

}  // namespace stepvideo::commands
